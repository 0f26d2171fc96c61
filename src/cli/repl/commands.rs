//! Commands of `rhaid repl`.

/// The commands: name, argument, description.
pub(super) const COMMANDS: &[(&str, &str, &str)] = &[
    (":help", "[NAME]", "show this help, or the reference of a function or trigger"),
    (":load", "FILE", "evaluate a file"),
    (":type", "EXPRESSION", "evaluate an expression and show the type of its value"),
    (":subscribe", "TOPIC", "show messages as they arrive"),
    (":unsubscribe", "[TOPIC]", "stop showing messages"),
    (":quit", "", "exit, like Ctrl-D"),
];
