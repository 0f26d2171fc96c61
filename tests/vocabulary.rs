//! The words of the field: names and comments use the standard terms, and words that were replaced by them stay away.

use std::fs;
use std::path::Path;

use regex::Regex;

use crate::rust_source::{Piece, files, lex};

/// Words that were replaced, each with its successor.
const RETIRED: &[(&str, &str)] = &[
    ("attendance", "sessions"),
    ("debt", "pending ack"),
    ("debts", "pending acks"),
    ("desk", "dispatcher"),
    ("doorkeeper", "authenticator"),
    ("ear", "listener"),
    ("entrust", "publish_durable"),
    ("entrusted", "durable"),
    ("firing", "event"),
    ("firings", "events"),
    ("goodbye", "disconnect"),
    ("habits", "migration hints"),
    ("heir", "event handoff"),
    ("heirs", "event handoff"),
    ("hears", "receives"),
    ("house", "supervisor"),
    ("keeper", "persistence, idle poller or state source"),
    ("lane", "script queue"),
    ("lanes", "script queues"),
    ("ledger", "run history"),
    ("liar", "misbehaving server"),
    ("liars", "misbehaving servers"),
    ("newborn", "pending script"),
    ("overheard", "recorded"),
    ("owed", "pending"),
    ("parcel", "envelope"),
    ("riders", "piggybacked records"),
    ("trial", "testing"),
    ("voice", "event sender"),
    ("whoever", "(name the component)"),
    ("wicked", "misbehaving broker"),
];

/// Turns of phrase that comments do without.
const PHRASES: &[(&str, &str)] = &[
    (r"\b[Cc]an not\b", "cannot"),
    (r"(?:^|[.;:] )(?:What|Who|Whoever|Whose)\b[^?]*$", "a sentence that begins with the subject"),
    (r"\b(?:nobody|somebody|whoever)\b", "the component that is meant"),
];

#[test]
fn names_and_comments_use_the_standard_terms() {
    let phrases = phrases();
    let mut found = Vec::new();
    for folder in ["src", "tests", "benches"] {
        for (file, text) in files(folder) {
            // This list.
            if file != "vocabulary.rs" {
                found.extend(
                    retired(&text, &phrases).into_iter().map(|(line, why)| format!("{folder}/{file}:{line}: {why}")),
                );
            }
        }
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn a_retired_word_would_be_found() {
    let phrases = phrases();
    let lines = |text: &str| retired(text, &phrases).into_iter().map(|(line, _)| line).collect::<Vec<_>>();
    assert_eq!(lines("struct OpenDesk;\n/// The debts.\nlet next_lane = 1;"), [1, 2, 3]);
    assert_eq!(lines("// It can not be.\n// Sure. What is read: nothing."), [1, 2]);
    assert_eq!(lines("let x = \"the house\"; // `house/door`, or \"desk\"\n/// island"), [0; 0]);
}

#[test]
fn the_pages_for_users_use_the_standard_terms() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md"), root.join("CHANGELOG.md")];
    for folder in ["src", "examples"] {
        collect(&root.join(folder), &mut pages);
    }
    // "The house" of a home is meant in examples.
    let words = RETIRED.iter().filter(|(word, _)| *word != "house");
    let words: Vec<_> = words.map(|(word, right)| (Regex::new(&format!(r"(?i)\b{word}\b")).unwrap(), *right)).collect();
    let mut found = Vec::new();
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for (number, line) in text.lines().enumerate() {
            let line = plain(line);
            for (word, right) in &words {
                if let Some(word) = word.find(&line) {
                    found.push(format!("{}:{}: `{}`: write {right}", page.display(), number + 1, word.as_str()));
                }
            }
        }
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

fn phrases() -> Vec<(Regex, &'static str)> {
    PHRASES.iter().map(|(phrase, right)| (Regex::new(phrase).unwrap(), *right)).collect()
}

/// Returns the lines of a Rust text that have retired words, with the word to write instead.
fn retired(text: &str, phrases: &[(Regex, &str)]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (line, piece) in lex(text) {
        let text = match piece {
            Piece::Code(code) => code.to_owned(),
            Piece::Comment(comment) => plain(comment.trim_start_matches(['/', '!', '*', ' '])),
            Piece::Literal => continue,
        };
        for word in words(&text) {
            if let Some((word, right)) = RETIRED.iter().find(|(retired, _)| *retired == word) {
                found.push((line, format!("`{word}`: write {right}")));
            }
        }
        if matches!(piece, Piece::Comment(_)) {
            for (phrase, right) in phrases {
                found.extend(phrase.find(&text).map(|phrase| (line, format!("`{}`: write {right}", phrase.as_str()))));
            }
        }
    }
    found
}

/// Returns the words of prose or of names such as `next_lane` and `OpenDesk`, in lower case.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for letter in text.chars() {
        if !letter.is_alphabetic() || letter.is_uppercase() {
            words.push(String::new());
        }
        if letter.is_alphabetic() {
            words.last_mut().expect("it has one").extend(letter.to_lowercase());
        }
    }
    words
}

/// Returns prose without what stands in quotes or backticks: names, topics and texts of others.
fn plain(prose: &str) -> String {
    let outside = |text: &str, quote| text.split(quote).step_by(2).collect::<Vec<_>>().join("");
    outside(&outside(prose, '`'), '"')
}

fn collect(folder: &Path, pages: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, pages);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
}
