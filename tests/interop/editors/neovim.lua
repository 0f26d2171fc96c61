-- A session in Neovim with its built-in LSP client; writes its results as JSON.
local results = {}

local function await(condition)
  return vim.wait(30000, condition, 20)
end

local function run()
  vim.cmd("edit scripts/a.rhai")
  local id = vim.lsp.start_client({ cmd = { os.getenv("RHAID"), "lsp" }, root_dir = vim.fn.getcwd() })
  vim.lsp.buf_attach_client(0, id)
  await(function() return #vim.diagnostic.get(0) > 0 end)
  local found = vim.diagnostic.get(0)
  results.diagnostics = vim.tbl_map(function(one)
    return { line = one.lnum, from = one.col, to = one.end_col, text = one.message, severity = one.severity }
  end, found)
  local one = found[1]
  vim.api.nvim_buf_set_text(0, one.lnum, one.col, one.end_lnum, one.end_col, { "http_get" })
  results.cleared = await(function() return #vim.diagnostic.get(0) == 0 end)

  local function request(method, line, column)
    vim.api.nvim_win_set_cursor(0, { line, column })
    local answers = vim.lsp.buf_request_sync(0, method, vim.lsp.util.make_position_params(), 30000)
    return answers[id].result
  end
  local line = vim.fn.getline(3)
  results.completion = vim.tbl_map(
    function(item) return item.label end,
    request("textDocument/completion", 3, line:find("msg.", 1, true) + 3).items
  )
  results.hover = request("textDocument/hover", 3, 2).contents.value
  local call = vim.fn.getline(2):find("fahrenheit", 1, true)
  vim.api.nvim_win_set_cursor(0, { 2, call })
  vim.lsp.buf.definition()
  results.jumped = await(function() return vim.api.nvim_buf_get_name(0):match("_lib/units.rhai$") ~= nil end)
  results.cursor = vim.api.nvim_win_get_cursor(0)

  vim.lsp.stop_client(id)
  results.stopped = await(function() return vim.lsp.client_is_stopped(id) end)
end

local succeeded, why = pcall(run)
results.why = not succeeded and tostring(why) or nil
local file = io.open(os.getenv("RESULTS"), "w")
file:write(vim.json.encode(results))
file:close()
vim.cmd("qall!")
