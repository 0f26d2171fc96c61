//! Words of other languages, with their equivalents in scripts.

/// Keywords that the language lacks or reserves.
pub(super) const KEYWORDS: &str = r#"
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
async await: remove it: each call waits for its result
del delete: write `map.remove(key)`
global nonlocal: write `state.name` for a value that persists between runs
"#;

/// Constants and modules.
pub(super) const NAMES: &str = r#"
None null nil undefined NULL: write `()`
True TRUE: write `true`
False FALSE: write `false`
pass: write an empty block, `{ }`
json JSON: write `parse_json(text)` and `to_json(value)`: they need no import
math Math: write `floor(x)`, `sqrt(x)` and the like: they need no import
console: write `print(…)`
datetime Date: write `now()`
requests axios: write `http_get(url)`
"#;

/// Functions and methods with another name.
pub(super) const FUNCTIONS: &str = r#"
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

/// Methods that were called on `()`.
pub(super) const METHODS_OF_UNIT: &str = r#"
wait is_confirmed: write `wait: false` in the options of `mqtt_publish`, which then returns a delivery
push: the list does not exist yet: write `list = (list ?? []) + [x]`, such as `state.seen = (state.seen ?? []) + [x]`
"#;

/// The hint for arrow functions.
pub(super) const CLOSURE: &str = "write `|x| …`";
/// The hint for type annotations.
pub(super) const TYPES: &str = "remove the type: variables have no declared type";

/// The hint for a part of a text or list.
pub(in crate::script) const SLICE: &str = "write `text[1..3]`, or `list.extract(1..3)`";

/// The hint for an import of a standard module of another language.
pub(in crate::script) const IMPORT: &str = "write `import \"_lib/name\" as name;` for your own module; built-in functions need no import, such as \
                                 `parse_json(text)`, `now()` and `http_get(url)`";

/// Returns the hint for an unknown variable.
pub(in crate::script) fn for_variable(name: &str) -> Option<&'static str> {
    find(NAMES, name)
}

/// Returns the hint for a method that was called on `()`.
pub(in crate::script) fn for_method_of_unit(method: &str) -> Option<&'static str> {
    find(METHODS_OF_UNIT, method)
}

/// Returns the hint for an unknown function.
pub(in crate::script) fn for_function(name: &str) -> Option<&'static str> {
    find(FUNCTIONS, name)
}

/// Returns the hint of a word in a table.
pub(super) fn find(table: &'static str, word: &str) -> Option<&'static str> {
    let mut rows = table.lines().filter_map(|row| row.split_once(": "));
    rows.find(|(words, _)| words.split(' ').any(|other| other == word)).map(|(_, hint)| hint)
}
