//! What is written out of habit from Python and JavaScript, and how it is written here.

/// Words that the language lacks, or keeps for itself.
const KEYWORDS: &str = r#"
elif elsif elseif: write `else if`
and: write `&&`
or: write `||`
not: write `!`
is: write `==`
def function func: write `fn name(x) { … }`, or `|x| …` for a function without a name
lambda: write `|x| …`
except: write `catch (err) { … }`
raise: write `throw "…";`
var: write `let`
new class: there are no classes: write a map, such as `#{ name: 1 }`
async await: leave it out: each call waits until it is done
del delete: write `map.remove(key)`
global nonlocal: write `state.name` for what is to be kept from run to run
"#;

/// Names that would be there elsewhere.
const NAMES: &str = r#"
None null nil undefined NULL: write `()`, which stands for nothing
True TRUE: write `true`
False FALSE: write `false`
pass: write an empty block, `{ }`
json JSON: write `parse_json(text)` and `to_json(value)`: they need no import
math Math: write `floor(x)`, `sqrt(x)` and the like: they need no import
console: write `print(…)`
datetime Date: write `now()`
requests axios: write `http_get(url)`
"#;

/// Functions that have another name here.
const FUNCTIONS: &str = r#"
str String: write `x.to_string()`, or `${x}` inside of back-ticks
float Number: write `parse_float(text)`, or `to_float(number)`
int: write `parse_int(text)`, or `to_int(number)`
append: write `list.push(x)`
strftime: write `now().format("%H:%M")`
isinstance typeof: write `type_of(x) == "i64"`, or `"f64"`, `"string"`, `"array"`, `"map"`
loads parse: write `parse_json(text)`
dumps stringify: write `to_json(value)`
fetch: write `http_get(url)`
open: write `read_file(path)`, or `write_file(path, text)`
length size: write `x.len()`
items entries: write `for key in map.keys() { … map[key] … }`
enumerate: write `for (x, index) in list { … }`
includes: write `x.contains(y)`
sum: write `list.reduce(|sum, x| sum + x, 0)`
strip: write `text.trim()`
lower toLowerCase: write `text.to_lower()`
upper toUpperCase: write `text.to_upper()`
substr: write `text.sub_string(start, len)`
setInterval: write `every("1m", || …)` at the top level
setTimeout: write `timer_start(name, "5m")`, and `on_timer(name, || …)` at the top level
"#;

/// Methods of what is not there.
const ON_NOTHING: &str = r#"
wait is_confirmed: write `wait: false` among the options of `mqtt_publish`: only then does it return what can be asked
push: there is no list yet: write `list = (list ?? []) + [x]`, such as `state.seen = (state.seen ?? []) + [x]`
"#;

const CLOSURE: &str = "write `|x| …`";
const TYPES: &str = "leave the type out: a variable takes any value";

/// What to write for a part of a text or list.
pub(super) const SLICE: &str = "write `text[1..3]`, or `list.extract(1..3)`";

/// What to write instead of an import of what other languages bring.
pub(super) const IMPORT: &str = "write `import \"_lib/name\" as name;` for a file of yours; what rhaid has needs no import, such as \
                                 `parse_json(text)`, `now()` and `http_get(url)`";

/// Returns what to write instead of a variable.
pub(super) fn of_name(name: &str) -> Option<&'static str> {
    find(NAMES, name)
}

/// Returns what to write before a method can be called on what is not there yet.
pub(super) fn of_nothing(method: &str) -> Option<&'static str> {
    find(ON_NOTHING, method)
}

/// Returns what to write instead of a function.
pub(super) fn of_function(name: &str) -> Option<&'static str> {
    find(FUNCTIONS, name)
}

/// Returns whether a text begins with a variable that is assigned.
pub(super) fn is_assigned(text: &str) -> bool {
    let rest = text.trim_start_matches(is_of_word).trim_start();
    rest.starts_with('=') && !rest.starts_with("==")
}

/// Returns what to write instead of an operator that met a missing value, from its signature as the interpreter writes it, and the text
/// around it.
pub(super) fn of_operator(signature: &str, before: &str, after: &str) -> Option<String> {
    let (operator, types) = signature.strip_suffix(')')?.split_once(" (")?;
    if operator.starts_with(is_of_word) || !types.split(", ").any(|of| of == "()") {
        return None;
    }
    let assigned = after.strip_prefix(operator).filter(|_| types.starts_with("(), "));
    let amount = assigned.and_then(|rest| rest.strip_prefix('=')?.split([';', '}', '\n']).next()).map(str::trim);
    let target = before.trim_end().rsplit(|letter: char| letter.is_whitespace() || "{(;".contains(letter)).next()?;
    let Some(amount) = amount.filter(|_| target.contains('[') == target.contains(']')) else {
        return Some("a value is missing: write `(… ?? 0)` for one that may be".into());
    };
    let empty = if amount.starts_with('[') { "[]" } else { "0" };
    let sum = match target.strip_prefix("state.") {
        Some(key) if operator == "+" && empty == "0" && key.chars().all(is_of_word) => {
            format!("`state.add(\"{key}\", {amount})`, or ")
        }
        _ => String::new(),
    };
    Some(format!("`{target}` has no value yet: write {sum}`{target} = ({target} ?? {empty}) {operator} {amount}`"))
}

fn find(table: &'static str, word: &str) -> Option<&'static str> {
    let mut rows = table.lines().filter_map(|row| row.split_once(": "));
    rows.find(|(words, _)| words.split(' ').any(|other| other == word)).map(|(_, help)| help)
}

/// Returns what to write instead of what the compiler can not read, from its words, the text before the place, and from there on.
pub(super) fn of_syntax(words: &str, before: &str, after: &str) -> Option<String> {
    let line = before.rsplit('\n').next()?;
    let starts_a_line = line.len() < before.len() && line.trim().is_empty();
    let previous = before.trim_end().rsplit('\n').next()?.trim();
    if starts_a_line && previous.starts_with("import ") && !previous.contains('"') {
        return Some(IMPORT.into());
    }
    of_habit(before, line, after).or_else(|| {
        let lacks = |what| starts_a_line && words.starts_with(what);
        if lacks("expecting ';'") {
            return Some("end what stands before it with `;`".into());
        }
        lacks("expecting ',' to separate the arguments").then(|| "is `)` or `,` missing before it?".into())
    })
}

fn of_habit(before: &str, line: &str, after: &str) -> Option<String> {
    let (front, last) = last_word(line.trim_end());
    let here = first_word(after);
    if last == "from" {
        return Some(IMPORT.into());
    }
    let keyword = |word| find(KEYWORDS, word).or_else(|| find(NAMES, word));
    if let Some(help) = keyword(last).or_else(|| keyword(here)).or_else(|| of_word(before, line, here, after)) {
        return Some(help.into());
    }
    if here.starts_with(['s', 'm', 'h', 'd']) && line.ends_with(|c: char| c.is_ascii_digit()) {
        let number = line.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        return Some(format!("write `\"{}{here}\"`: a duration is text", &line[number..]));
    }
    let names_an_argument = !last.is_empty() && front.trim_end().ends_with(['(', ',']);
    match after.chars().next()? {
        '=' if names_an_argument && after.starts_with("=>") => Some(CLOSURE.into()),
        '=' | ':'
            if names_an_argument && !after.starts_with("==") && !line.contains("fn ") && open(before).1 == '(' =>
        {
            Some(format!("write options as a map, such as `#{{ {last}: 1 }}`"))
        }
        _ => of_symbol(before, line, last, after).map(str::to_owned),
    }
}

fn of_word(before: &str, line: &str, here: &str, after: &str) -> Option<&'static str> {
    let rest = after.lines().next()?;
    match here {
        "if" if rest.contains(" else ") && !rest.contains('{') => Some("write `if a { b } else { c }`"),
        "for" if open(before).1 == '[' => {
            Some("write `list.map(|x| …)`, and `list.filter(|x| …)` for those that are wanted")
        }
        "in" | "let" if line.trim_start().starts_with("for") && open(before).1 == '(' => {
            Some("write `for x in list { … }` or `for n in 0..10 { … }`, without brackets")
        }
        _ => None,
    }
}

fn of_symbol(before: &str, line: &str, last: &str, after: &str) -> Option<&'static str> {
    match after.chars().next()? {
        '#' if !after.starts_with("#{") => Some("write `// …` for a comment"),
        '"' | '\'' if last == "f" => Some("write back-ticks, with `${x}` for a value: `` `… ${x}` ``"),
        '\'' => Some("write text in double quotes: `\"…\"`"),
        '=' if after.starts_with("=>") => Some(CLOSURE),
        '=' if after.starts_with("===") => Some("write `==`"),
        '!' if after.starts_with("!==") => Some("write `!=`"),
        '+' if after.starts_with("++") => Some("write `x += 1`"),
        '-' if after.starts_with("--") => Some("write `x -= 1`"),
        '?' => Some("write `if a { b } else { c }`"),
        '{' if line.contains("function") => find(KEYWORDS, "function"),
        ':' => of_colon(before, line),
        _ => None,
    }
}

fn of_colon(before: &str, line: &str) -> Option<&'static str> {
    match first_word(line.trim_start()) {
        "if" | "for" | "while" | "else" | "try" => return Some("write a block in braces: `{ … }`"),
        "let" | "const" if open(before).1 != '[' && !line.contains('{') => return Some(TYPES),
        _ => {}
    }
    let (at, bracket) = open(before);
    let key = before[at..].trim_start_matches('{').trim();
    match bracket {
        '[' => Some(SLICE),
        '(' if line.contains("fn ") => Some(TYPES),
        '{' if !before[..at].ends_with('#') && !key.contains(char::is_whitespace) => {
            Some("write a map with `#` before it: `#{ a: 1 }`")
        }
        _ => None,
    }
}

/// Returns the innermost bracket that is open at the end of a text, and where it stands; a space if there is none.
fn open(text: &str) -> (usize, char) {
    let (mut closed, mut in_text) = (0, false);
    for (at, letter) in text.char_indices().rev() {
        match letter {
            '"' => in_text = !in_text,
            _ if in_text => {}
            ')' | ']' | '}' => closed += 1,
            '(' | '[' | '{' if closed == 0 => return (at, letter),
            '(' | '[' | '{' => closed -= 1,
            _ => {}
        }
    }
    (text.len(), ' ')
}

fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn first_word(text: &str) -> &str {
    text.split(|letter| !is_of_word(letter)).next().unwrap_or_default()
}

/// Returns what stands before the last word, and that word.
fn last_word(text: &str) -> (&str, &str) {
    text.split_at(text.trim_end_matches(is_of_word).len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;
    use crate::script::Purpose;
    use crate::script::analyse::known::IN_SCRIPTS;
    use crate::script::tests::load_all;

    fn faults(text: &'static str) -> Vec<Fault> {
        load_all(&[("t.rhai", text)], &Purpose::Handlers).err().unwrap_or_default()
    }

    const HABITS: &[(&str, &str)] = &[
        ("let x = None;", "write `()`"),
        ("let x = null;", "write `()`"),
        ("if 1 == nil { }", "write `()`"),
        ("let x = undefined;", "write `()`"),
        ("while True { }", "write `true`"),
        ("return False", "write `false`"),
        ("if 1 == 2 { } elif 1 == 3 { }", "write `else if`"),
        ("let x = 1; print(f\"hello {x}\");", "write back-ticks, with `${x}`"),
        ("let x = 1; print(f'hello {x}');", "write back-ticks, with `${x}`"),
        ("print('hello');", "write text in double quotes"),
        ("state['count'] = 1;", "write text in double quotes"),
        ("# It's a comment", "write `// …`"),
        ("let x = 1; # a comment", "write `// …`"),
        ("if true and false { }", "write `&&`"),
        ("if true or false { }", "write `||`"),
        ("if not true { }", "write `!`"),
        ("let x = 1; if x is None { }", "write `==`"),
        ("let x = 1; if x === 1 { }", "write `==`"),
        ("let x = 1; if x !== 1 { }", "write `!=`"),
        ("let x = {\"a\": 1};", "`#{ a: 1 }`"),
        ("print(1, { qos: 1 });", "`#{ a: 1 }`"),
        ("print(1, {\n  qos: 1\n});", "`#{ a: 1 }`"),
        ("print(1, qos=1);", "`#{ qos: 1 }`"),
        ("print(1, qos = 1, retain = true);", "`#{ qos: 1 }`"),
        ("print(1, qos: 1);", "`#{ qos: 1 }`"),
        ("x = 5;", "write `let x = …;`"),
        ("wake(\"a\", || { x = 5; });", "write `let x = …;`"),
        ("def f(x) { x }", "write `fn name(x)"),
        ("wake(\"a\", function() { });", "write `fn name(x)"),
        ("let f = lambda x: x + 1;", "write `|x| …`"),
        ("[1].map(x => x + 1);", "write `|x| …`"),
        ("wake(\"a\", () => { });", "write `|x| …`"),
        ("try { } except { }", "write `catch (err)"),
        ("raise \"x\";", "write `throw"),
        ("throw new Error(1);", "there are no classes"),
        ("let x = await f();", "leave it out"),
        ("del x;", "write `map.remove(key)`"),
        ("global x;", "write `state.name`"),
        ("var x = 5;", "write `let`"),
        ("let x: int = 5;", "leave the type out"),
        ("fn f(x: int) { x }", "leave the type out"),
        ("import json;", "`parse_json(text)`"),
        ("import json\nprint(1);", "`parse_json(text)`"),
        ("from json import loads;", "`parse_json(text)`"),
        ("json.loads(\"5\");", "`parse_json(text)`"),
        ("sleep(5m);", "write `\"5m\"`"),
        ("sleep(1.5h);", "write `\"1.5h\"`"),
        ("let x = \"abc\"; x[1:];", "`text[1..3]`"),
        ("let x = \"abc\"; x[:1];", "`text[1..3]`"),
        ("let x = [y * 2 for y in [1, 2]];", "write `list.map(|x| …)`"),
        ("for (i in 0..5) { }", "without brackets"),
        ("for (let i = 0; i < 5; i++) { }", "without brackets"),
        ("let x = 5; x++;", "write `x += 1`"),
        ("let x = true ? 1 : 2;", "write `if a { b } else { c }`"),
        ("let x = 1 if true else 2;", "write `if a { b } else { c }`"),
        ("if true:\n    pass", "write a block in braces"),
        ("let x = 1\nprint(x);", "end what stands before it with `;`"),
        ("print(\"a\"\nprint(1);", "is `)` or `,` missing before it?"),
        ("str(5);", "write `x.to_string()`"),
        ("let x = float(\"5\");", "write `parse_float(text)`"),
        ("\"a\".strftime(\"%H\");", "write `now().format("),
        ("isinstance(5, 3);", "write `type_of(x) == \"i64\"`"),
    ];

    #[test]
    fn habits_from_elsewhere_are_told_what_to_write_here() {
        for (wrong, help) in HABITS {
            let faults = faults(wrong);
            let hint = faults.first().and_then(|fault| fault.hint.as_deref()).unwrap_or_default();
            assert!(hint.contains(help), "{wrong}\n{hint:?}\n{faults:#?}");
        }
    }

    #[test]
    fn a_mistake_that_is_no_habit_is_told_nothing() {
        for wrong in ["print(];", "let = 5;", "let x = #{ a 1 };", "let s = `a ${b`;", "print(nothing);", "5 = 3;"] {
            assert_eq!(faults(wrong)[0].hint, None, "{wrong}");
        }
    }

    #[test]
    fn every_function_that_a_habit_is_told_of_is_there() {
        let helps = [KEYWORDS, NAMES, FUNCTIONS, ON_NOTHING].into_iter().flat_map(str::lines);
        let syntax = ["type_of", "print"];
        for help in helps.chain([SLICE]) {
            for (at, _) in help.match_indices('(') {
                let (_, name) = last_word(&help[..at]);
                let is_there =
                    name.is_empty() || syntax.contains(&name) || IN_SCRIPTS.names().any(|other| other == name);
                assert!(is_there || help.contains("fn name("), "`{name}` in {help}");
            }
        }
    }

    #[test]
    fn a_missing_value_beside_an_operator_is_told_how_to_begin() {
        let help = |signature, before, after| of_operator(signature, before, after).unwrap_or_default();
        let open =
            "`state.open` has no value yet: write `state.add(\"open\", 1)`, or `state.open = (state.open ?? 0) + 1`";
        assert_eq!(help("+ ((), i64)", "|| { state.open ", "+= 1 }"), open);
        let list = "`m.list` has no value yet: write `m.list = (m.list ?? []) + [2]`";
        assert_eq!(help("+ ((), array)", "m.list ", "+= [2];"), list);
        let key = "`state[\"open\"]` has no value yet: write `state[\"open\"] = (state[\"open\"] ?? 0) - 2`";
        assert_eq!(help("- ((), i64)", "state[\"open\"] ", "-= 2"), key);
        for (signature, before, after) in [("* (i64, ())", "5 ", "* x"), ("+ ((), i64)", "state[\"a b\"] ", "+= 1")] {
            assert!(help(signature, before, after).contains("`(… ?? 0)`"), "{before}{after}");
        }
        assert_eq!(of_operator("+ (map, i64)", "#{} ", "+ 1"), None);
        assert_eq!(of_operator("f (())", "", "f(x)"), None);
    }
}
