// Starts `rhaid lsp` for Rhai files; the server does the rest.
const { workspace } = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

exports.activate = () => {
  const command = workspace.getConfiguration("rhaid").get("command");
  const server = { command, args: ["lsp"] };
  client = new LanguageClient("rhaid", "rhaid", server, { documentSelector: [{ language: "rhai" }] });
  return client.start();
};

exports.deactivate = () => client?.stop();
