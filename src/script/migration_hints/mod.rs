//! Hints for syntax and names of Python and JavaScript.

mod operator;
mod scan;
mod syntax;
mod tables;

pub(super) use self::operator::for_operator;
pub(super) use self::scan::is_assignment;
pub(super) use self::syntax::for_syntax;
pub(super) use self::tables::{IMPORT, SLICE, for_function, for_method_of_unit, for_variable};

#[cfg(test)]
mod tests {
    use super::scan::last_word;
    use super::tables::{FUNCTIONS, KEYWORDS, METHODS_OF_UNIT, NAMES};
    use super::*;
    use crate::fault::Fault;
    use crate::script::Purpose;
    use crate::script::analyse::known::SCRIPT_FUNCTIONS;
    use crate::script::tests::load_all;

    fn faults(text: &'static str) -> Vec<Fault> {
        load_all(&[("t.rhai", text)], &Purpose::Handlers).err().unwrap_or_default()
    }

    const SNIPPETS: &[(&str, &str)] = &[
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
        ("let x = await f();", "remove it"),
        ("del x;", "write `map.remove(key)`"),
        ("global x;", "write `state.name`"),
        ("var x = 5;", "write `let`"),
        ("let x: int = 5;", "remove the type"),
        ("fn f(x: int) { x }", "remove the type"),
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
        ("let x = 1\nprint(x);", "is `;` missing before it?"),
        ("print(\"a\"\nprint(1);", "is `)` or `,` missing before it?"),
        ("str(5);", "write `x.to_string()`"),
        ("let x = float(\"5\");", "write `parse_float(text)`"),
        ("\"a\".strftime(\"%H\");", "write `now().format("),
        ("isinstance(5, 3);", "write `type_of(x) == \"i64\"`"),
    ];

    #[test]
    fn syntax_of_other_languages_gets_a_hint() {
        for (wrong, help) in SNIPPETS {
            let faults = faults(wrong);
            let hint = faults.first().and_then(|fault| fault.hint.as_deref()).unwrap_or_default();
            assert!(hint.contains(help), "{wrong}\n{hint:?}\n{faults:#?}");
        }
    }

    #[test]
    fn other_mistakes_get_no_hint() {
        for wrong in ["print(];", "let = 5;", "let x = #{ a 1 };", "let s = `a ${b`;", "print(nothing);", "5 = 3;"] {
            assert_eq!(faults(wrong)[0].hint, None, "{wrong}");
        }
    }

    #[test]
    fn every_function_in_a_hint_exists() {
        let helps = [KEYWORDS, NAMES, FUNCTIONS, METHODS_OF_UNIT].into_iter().flat_map(str::lines);
        let syntax = ["type_of", "print"];
        for help in helps.chain([SLICE]) {
            for (at, _) in help.match_indices('(') {
                let (_, name) = last_word(&help[..at]);
                let is_there =
                    name.is_empty() || syntax.contains(&name) || SCRIPT_FUNCTIONS.names().any(|other| other == name);
                assert!(is_there || help.contains("fn name("), "`{name}` in {help}");
            }
        }
    }

    #[test]
    fn an_operator_on_a_missing_value_gets_a_hint() {
        let help = |signature, before, after| for_operator(signature, before, after).unwrap_or_default();
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
        assert_eq!(for_operator("+ (map, i64)", "#{} ", "+ 1"), None);
        assert_eq!(for_operator("f (())", "", "f(x)"), None);
    }
}
