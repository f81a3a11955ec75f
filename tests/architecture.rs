//! The rules of the house that a compiler does not hold: the sans-IO core reads no clock, no socket and no randomness of
//! its own; a protocol's words stay in its adaptor; every file says what it owns; no `unsafe`.
//!
//! Rules look at code without comments, literals' contents and test code, unless they say otherwise. Each rule is shown
//! to fail on a snippet that breaks it.

#![allow(clippy::expect_used, reason = "a test stops where it is wrong")]

use std::fs;
use std::path::{Path, PathBuf};

/// What takes `now`, bytes and randomness as arguments and returns values.
const SANS_IO: [&str; 8] = ["wire", "transport", "negotiation", "media", "congestion", "room", "recorder", "clock.rs"];

/// What the sans-IO core must not say, and why.
const FORBIDDEN: [(&str, &str); 16] = [
    ("tokio", "the core runs under virtual time too: no runtime"),
    ("async fn", "the core is polled by its owner"),
    ("UdpSocket", "sockets are net's"),
    ("TcpStream", "sockets are net's"),
    ("TcpListener", "sockets are net's"),
    ("UdpSocketState", "sockets are net's"),
    ("Instant::now", "time is an argument"),
    ("SystemTime", "time is an argument"),
    (".elapsed()", "reads the clock"),
    ("thread_rng", "randomness is an argument"),
    ("rand::rng", "randomness is an argument"),
    ("rand::random", "randomness is an argument"),
    ("OsRng", "randomness is an argument"),
    ("from_os_rng", "randomness is an argument"),
    ("std::thread", "the owner decides on threads"),
    ("std::fs", "no I/O"),
];

/// The way of a packet outside the core: its owner reads the clock once a batch, and nothing is shared.
const PACKETS_WAY: [&str; 15] = [
    "shard/fan_out.rs",
    "shard/gather.rs",
    "shard/inbound.rs",
    "shard/joining.rs",
    "shard/links.rs",
    "shard/mirror.rs",
    "shard/outbound.rs",
    "shard/outlet.rs",
    "shard/peer.rs",
    "shard/receive.rs",
    "shard/recovery.rs",
    "shard/resend.rs",
    "shard/send.rs",
    "shard/source.rs",
    "net/udp.rs",
];

/// What a packet must not cost.
const NOT_PER_PACKET: [(&str, &str); 5] = [
    ("Instant::now", "one clock reading is for a batch"),
    (".elapsed()", "reads the clock"),
    ("SystemTime", "one clock reading is for a batch"),
    ("Mutex", "shards share nothing that a packet needs"),
    ("RwLock", "shards share nothing that a packet needs"),
];

/// Queues without a bound, in all code but tests: what a peer can make grow has a constant in limits.rs.
const UNBOUNDED: [&str; 3] = ["unbounded_channel", "std::sync::mpsc::channel", "crossbeam_channel::unbounded"];

/// Protocols whose words belong in one place each: the word, the place.
const PROTOCOLS: [(&str, &str); 3] =
    [("livekit", "signalling/livekit/"), ("whip", "signalling/whip/"), ("whep", "signalling/whip/")];

/// Where else a protocol may be named: file, what the line must hold, reason.
const NAMED: [(&str, &str, &str); 6] = [
    ("signalling/mod.rs", "mod livekit;", "declares the adaptor"),
    ("signalling/mod.rs", "mod whip;", "declares the adaptor"),
    ("server.rs", "signalling::livekit", "the composition root starts the adaptor"),
    ("server.rs", "signalling::whip", "the composition root starts the adaptor"),
    ("server.rs", "livekit::", "the composition root starts the adaptor"),
    ("server.rs", "whip::", "the composition root starts the adaptor"),
];

/// A file of `src`, by its path below it, with `/`.
struct Source {
    path: String,
    text: String,
}

/// One line that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Breach {
    line: usize,
    what: String,
}

#[test]
fn the_core_is_sans_io() {
    assert_none("the sans-IO core", |source| {
        let core = SANS_IO.iter().any(|part| source.path.split('/').next() == Some(part));
        let judged = core && !only_for_tests(&source.path);
        if judged { sans_io(&source.text) } else { Vec::new() }
    });
}

#[test]
fn the_packets_way_reads_no_clock_and_takes_no_lock() {
    let on_the_way = |source: &Source| PACKETS_WAY.contains(&source.path.as_str());
    assert_none("the packet's way", |source| {
        if on_the_way(source) { forbidden(&source.text, &NOT_PER_PACKET) } else { Vec::new() }
    });
    assert_eq!(sources().iter().filter(|source| on_the_way(source)).count(), PACKETS_WAY.len(), "a file is gone");
    for (word, _) in NOT_PER_PACKET {
        assert_eq!(forbidden(&format!("let x = {word};\n"), &NOT_PER_PACKET).len(), 1, "{word}");
    }
}

#[test]
fn a_protocols_words_stay_in_its_adaptor() {
    assert_none("words of one protocol", foreign_words);
}

#[test]
fn every_queue_is_bounded() {
    let judged = |source: &Source| !only_for_tests(&source.path);
    assert_none("queues", |source| if judged(source) { unbounded(&source.text) } else { Vec::new() });
}

#[test]
fn every_file_says_what_it_owns() {
    assert_none("files without a header", |source| header(&source.text));
}

#[test]
fn nothing_is_unsafe() {
    assert_none("unsafe code", |source| unsafe_code(&source.text));
}

#[test]
fn test_modules_are_compiled_for_tests_only() {
    assert_none("test modules", |source| test_modules(&source.text));
}

#[test]
fn the_rules_look_at_what_is_there() {
    let sources = sources();
    let parts = SANS_IO.iter().filter(|part| **part != "congestion");
    for part in parts {
        assert!(sources.iter().any(|source| source.path.starts_with(part)), "nothing in src/{part}");
    }
    for (file, line, _) in NAMED {
        let used = |source: &Source| source.path.starts_with(file) && source.text.contains(line);
        assert!(sources.iter().any(used), "the exception {line:?} in {file} is used no more: remove it");
    }
}

#[test]
fn the_sans_io_rule_fails_on_each_thing_it_forbids() {
    for (word, _) in FORBIDDEN {
        let breaches = sans_io(&format!("fn fine() {{}}\nlet x = {word};\n"));
        assert!(breaches.iter().any(|breach| breach.line == 2), "{word} is not found");
    }
    // Not in words that only contain it, in comments, in literals or in test code.
    for fine in [
        "// tokio reads Instant::now",
        "/* tokio /* nested */ tokio */",
        "let name = \"tokio\"; let raw = r#\"std::fs \"quoted\" \"#; let byte = b'\"';",
        "fn lifetime<'a>(text: &'a str) -> char { '\\'' }",
        "let histokiogram = 1;",
        "#[cfg(test)]\nmod tests {\n    fn now() { Instant::now(); }\n}",
        "#[cfg(test)]\nuse std::thread;\n",
    ] {
        assert_eq!(sans_io(fine), [], "{fine}");
    }
    // Code after test code is looked at again, and a quote in a comment hides nothing.
    let after =
        "#[cfg(test)]\nmod tests { fn a() { let c = '}'; let s = \"}\"; } }\n// don't\nfn b() { Instant::now(); }";
    assert_eq!(sans_io(after).len(), 1);
}

#[test]
fn the_rule_of_words_fails_outside_the_adaptor() {
    let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    for word in ["use livekit_protocol::DataPacket;", "// as LiveKit does", "let url = \"LIVEKIT_URL\";"] {
        assert_eq!(foreign_words(&source("room/mod.rs", word)).len(), 1, "{word}");
        assert_eq!(foreign_words(&source("signalling/whip/mod.rs", word)).len(), 1, "{word}");
        assert_eq!(foreign_words(&source("signalling/livekit/mod.rs", word)), []);
    }
    for word in ["struct WhepViewer;", "// for WHIP"] {
        assert_eq!(foreign_words(&source("shard/mod.rs", word)).len(), 1, "{word}");
        assert_eq!(foreign_words(&source("signalling/whip/mod.rs", word)), []);
    }
    assert_eq!(foreign_words(&source("signalling/mod.rs", "pub mod livekit;")), []);
    assert_eq!(foreign_words(&source("signalling/port.rs", "pub mod livekit;")).len(), 1);
}

#[test]
fn the_other_rules_fail_too() {
    assert_eq!(unbounded("let (a, b) = mpsc::unbounded_channel();").len(), 1);
    assert_eq!(unbounded("let (a, b) = mpsc::channel(limits::MAILBOX);"), []);
    assert_eq!(header("use std::fs;\n//! Too late.\n").len(), 1);
    assert_eq!(header("\n").len(), 1);
    assert_eq!(header("//! \n").len(), 1, "an empty header says nothing");
    assert_eq!(header("//! Owns it.\n"), []);
    assert_eq!(unsafe_code("fn f() { unsafe { g() } }").len(), 1);
    assert_eq!(unsafe_code("#[cfg(test)]\nmod tests { fn f() { unsafe { g() } } }").len(), 1, "not in tests either");
    assert_eq!(unsafe_code("// unsafe\nlet s = \"unsafe\"; let unsafety = 1;"), []);
    assert_eq!(test_modules("mod tests;").len(), 1);
    assert_eq!(test_modules("#[cfg(test)]\nmod tests;"), []);
}

/// Panics with every breach of `rule` in `src`.
fn assert_none(what: &str, rule: impl Fn(&Source) -> Vec<Breach>) {
    let tell = |source: &Source| -> Vec<String> {
        let breaches = rule(source).into_iter();
        breaches.map(|breach| format!("src/{}:{}: {}", source.path, breach.line, breach.what)).collect()
    };
    let breaches: Vec<String> = sources().iter().flat_map(tell).collect();
    assert!(breaches.is_empty(), "{what}:\n{}", breaches.join("\n"));
}

fn sans_io(text: &str) -> Vec<Breach> {
    forbidden(text, &FORBIDDEN)
}

/// Lines of code that say one of `words`, each with its reason.
fn forbidden(text: &str, words: &[(&str, &str)]) -> Vec<Breach> {
    let code = without_tests(&code_of(text));
    let says = |line: &str| words.iter().find(|(word, _)| has_word(line, word));
    lines_where(&code, |line| says(line).map(|(word, reason)| format!("{word}: {reason}")))
}

fn unbounded(text: &str) -> Vec<Breach> {
    let says = |line: &str| UNBOUNDED.iter().any(|word| has_word(line, word));
    lines_where(&without_tests(&code_of(text)), |line| says(line).then(|| line.trim().to_owned()))
}

/// Comments and literals count too.
fn foreign_words(source: &Source) -> Vec<Breach> {
    let allowed = |line: &str| NAMED.iter().any(|(file, part, _)| source.path.starts_with(file) && line.contains(part));
    let foreign: Vec<&str> =
        PROTOCOLS.iter().filter(|(_, place)| !source.path.starts_with(place)).map(|(word, _)| *word).collect();
    let says = |line: &str| foreign.iter().any(|word| line.to_lowercase().contains(word)) && !allowed(line);
    lines_where(&source.text, |line| says(line).then(|| line.trim().to_owned()))
}

fn header(text: &str) -> Vec<Breach> {
    let first = text.lines().next().unwrap_or_default();
    let says = first.strip_prefix("//!").is_some_and(|header| !header.trim().is_empty());
    let breach = Breach { line: 1, what: "begins without //! and what it owns".to_owned() };
    if says { Vec::new() } else { vec![breach] }
}

/// In test code too.
fn unsafe_code(text: &str) -> Vec<Breach> {
    lines_where(&code_of(text), |line| has_word(line, "unsafe").then(|| line.trim().to_owned()))
}

/// Files of tests are left out of the sans-IO rule, so they must be compiled for tests alone.
fn test_modules(text: &str) -> Vec<Breach> {
    lines_where(&without_tests(&code_of(text)), |line| {
        has_word(line, "mod tests").then(|| "a module of tests without #[cfg(test)]".to_owned())
    })
}

fn only_for_tests(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

fn lines_where(text: &str, rule: impl Fn(&str) -> Option<String>) -> Vec<Breach> {
    let numbered = text.lines().zip(1..);
    numbered.filter_map(|(text, line)| rule(text).map(|what| Breach { line, what })).collect()
}

/// Whether `word` stands in `line`, not as part of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let joined = |a: Option<char>, b: Option<char>| a.is_some_and(is_word) && b.is_some_and(is_word);
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !joined(before, word.chars().next()) && !joined(word.chars().next_back(), after)
    })
}

/// The text with comments and what stands in literals blanked; lines stay where they are.
fn code_of(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let len = blank_len(&chars[at..]);
        let keep = len.max(1);
        code.extend(chars[at..at + keep].iter().map(|c| if len == 0 || *c == '\n' { *c } else { ' ' }));
        at += keep;
        // Letters before a quote belong to the literal's prefix or to a name: take a whole word at once.
        while len == 0 && is_word(chars[at - 1]) && chars.get(at).is_some_and(|c| is_word(*c)) {
            code.push(chars[at]);
            at += 1;
        }
    }
    code
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Length of the comment or literal that starts here, 0 when none does.
fn blank_len(rest: &[char]) -> usize {
    match rest {
        ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => block_comment_len(rest),
        ['"', ..] => quoted_len(rest, 1),
        ['b' | 'c', '"', ..] => quoted_len(rest, 2),
        ['r', '"' | '#', ..] => raw_len(rest, 1),
        ['b' | 'c', 'r', '"' | '#', ..] => raw_len(rest, 2),
        ['b', '\'', ..] => 1 + char_len(&rest[1..]),
        ['\'', ..] => char_len(rest),
        _ => 0,
    }
}

fn block_comment_len(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted_len(rest: &[char], mut at: usize) -> usize {
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// A raw string, or 0 for a raw identifier.
fn raw_len(rest: &[char], prefix: usize) -> usize {
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    let start = prefix + hashes + 1;
    if rest.get(start - 1) != Some(&'"') {
        return 0;
    }
    let ends =
        |at: &usize| rest[*at] == '"' && rest[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
    (start..rest.len()).find(ends).map_or(rest.len(), |end| end + 1 + hashes)
}

/// A character literal, or 0 for a lifetime.
fn char_len(rest: &[char]) -> usize {
    match rest {
        ['\'', '\\', _, tail @ ..] => tail.iter().position(|c| *c == '\'').map_or(0, |end| end + 4),
        ['\'', _, '\'', ..] => 3,
        _ => 0,
    }
}

/// Code without the items that only tests see; lines stay where they are.
fn without_tests(code: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        let (before, item) = rest.split_at(at);
        let (item, after) = item.split_at(item_len(item));
        kept.push_str(before);
        kept.extend(item.chars().filter(|c| *c == '\n'));
        rest = after;
    }
    kept + rest
}

/// Up to the end of the item's block, or its semicolon.
fn item_len(item: &str) -> usize {
    let mut depth = 0usize;
    for (at, c) in item.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    item.len()
}

/// Every file of `src`.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    assert!(files.len() > 30, "only {} files found in {}", files.len(), root.display());
    let source = |file: PathBuf| {
        let below = file.strip_prefix(&root).expect("found below it").to_string_lossy().replace('\\', "/");
        Source { path: below, text: fs::read_to_string(&file).expect("sources can be read") }
    };
    files.into_iter().map(source).collect()
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
