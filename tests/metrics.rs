//! What the server exports, scraped live: the exposition format (version 0.0.4), Prometheus' conventions of names and units, bounded
//! labels, and that docs/monitoring-metrics.md lists it all and nothing else.
//!
//! After a change of metrics: `SFUMATO_WRITE_DOCS=1 cargo test --test metrics` writes the lists of that page anew.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops where it is wrong")]

#[path = "support/server.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use server::Server;

const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const PAGE: &str = "docs/monitoring-metrics.md";
/// Samples of one metric at most, histograms' buckets aside: labels are of small sets.
const SAMPLES: usize = 32;
/// Values of a label that are listed one by one.
const LISTED_VALUES: usize = 16;
/// Labels that could name somebody, or grow without end.
const UNBOUNDED: [&str; 10] =
    ["room", "participant", "identity", "name", "sid", "track", "ssrc", "address", "ip", "user"];
/// Units that are not the base one, and words that are no units.
const NOT_BASE: [&str; 9] =
    ["milliseconds", "ms", "us", "minutes", "hours", "percent", "kilobytes", "megabytes", "bits"];
/// Labels whose values depend on the machine or the build.
const VARYING: [&str; 3] = ["shard", "version", "revision"];

#[derive(Debug, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

#[derive(Debug, Default, PartialEq)]
struct Family {
    help: String,
    kind: String,
    samples: Vec<Sample>,
}

/// Families by name; panics where the text is not as the format has it.
fn parse(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut present = String::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text");
            let before = families.insert(name.to_owned(), Family { help: help.to_owned(), ..Family::default() });
            assert_eq!(before, None, "{name} is told twice");
            present = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert_eq!(name, present, "the type follows the help");
            families.get_mut(name).expect("its help came first").kind = kind.to_owned();
        } else {
            let sample = sample(line);
            let family = families.get_mut(&present).expect("help and type come first");
            let rest = sample.name.strip_prefix(&present);
            let suffixes: &[&str] = if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(rest.is_some_and(|rest| suffixes.contains(&rest)), "{line} among those of {present}");
            family.samples.push(sample);
        }
    }
    families
}

fn sample(line: &str) -> Sample {
    let (metric, value) = line.rsplit_once(' ').expect("a value");
    let value = value.parse().unwrap_or_else(|_| panic!("{line}: not a number"));
    let (name, labels) = match metric.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').expect("a closing brace")),
        None => (metric, ""),
    };
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').expect("a label's value");
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).expect("in quotes");
        (name.to_owned(), value.to_owned())
    };
    let labels = labels.split(',').filter(|pair| !pair.is_empty()).map(pair).collect();
    Sample { name: name.to_owned(), labels, value }
}

/// What is wrong with a metric by Prometheus' conventions (practices/naming, instrumenting/writing_clientlibs).
fn faults(name: &str, family: &Family) -> Vec<String> {
    let words: Vec<&str> = name.split('_').collect();
    let labels: BTreeSet<&str> =
        family.samples.iter().flat_map(|sample| sample.labels.keys().map(String::as_str)).collect();
    let plain = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let ends = |suffix: &str| words.last() == Some(&suffix);
    // `_by_` says that the metric is a part of another, split; a shard's own figures say whose they are.
    let repeated =
        |label: &&str| words.contains(label) && *label != "shard" && !name.ends_with(&format!("_by_{label}"));
    let series = family.samples.iter().filter(|sample| !sample.labels.contains_key("le")).count();
    let checks = [
        (!plain(name) || !labels.iter().all(|label| plain(label)), "is not in lower case with underscores"),
        (!name.starts_with("sfumato_") && !name.starts_with("process_"), "has no prefix of ours"),
        (family.help.trim().is_empty() || !family.help.ends_with('.'), "has no sentence as help"),
        (!["counter", "gauge", "histogram"].contains(&family.kind.as_str()), "has no type"),
        ((family.kind == "counter") != ends("total"), "ends in _total exactly as a counter does"),
        (["count", "sum", "bucket"].iter().any(|suffix| ends(suffix)), "ends as a histogram's part"),
        (words.iter().any(|word| NOT_BASE.contains(word)), "has a unit that is not the base unit"),
        (family.kind == "histogram" && !ends("seconds") && !ends("bytes") && !ends("ratio"), "has no unit"),
        (words.get(1).is_some_and(|word| ["counter", "gauge", "histogram"].contains(word)), "names its type"),
        (labels.iter().any(|label| UNBOUNDED.contains(label)), "has a label without bound"),
        (labels.iter().any(repeated), "repeats a label"),
        (family.samples.is_empty(), "has no sample before something happened"),
        (series > SAMPLES, "has too many series"),
        (ends("ratio") && family.kind == "gauge" && family.samples.iter().any(|s| s.value > 1.0), "is no ratio"),
    ];
    checks.into_iter().filter(|(wrong, _)| *wrong).map(|(_, what)| format!("{name} {what}")).collect()
}

/// A histogram's parts fit together.
fn assert_histogram(name: &str, family: &Family) {
    let without = |sample: &Sample| -> Vec<(String, String)> {
        sample.labels.clone().into_iter().filter(|(label, _)| label != "le").collect()
    };
    let counts = family.samples.iter().filter(|sample| sample.name.ends_with("_count"));
    for count in counts {
        let of_series = |sample: &&Sample| sample.name.ends_with("_bucket") && without(sample) == without(count);
        let buckets: Vec<&Sample> = family.samples.iter().filter(of_series).collect();
        let bounds: Vec<f64> = buckets.iter().map(|bucket| bucket.labels["le"].parse().expect("a number")).collect();
        assert!(bounds.is_sorted() && bounds.last() == Some(&f64::INFINITY), "{name}: {bounds:?}");
        assert!(buckets.is_sorted_by(|a, b| a.value <= b.value), "{name} is not cumulative");
        assert_eq!(buckets.last().map(|last| last.value), Some(count.value), "{name}");
    }
}

/// With TLS, which has metrics of its own.
fn scrape(flags: &[&str]) -> (BTreeMap<String, Family>, Server) {
    let [certificate, key] = certificate_files();
    let all: Vec<&str> =
        ["--shards", "1", "--tls-cert", &certificate, "--tls-key", &key].iter().chain(flags).copied().collect();
    let server = Server::start_with(&all);
    let families = parse(&once_measured(&server));
    [certificate, key].iter().for_each(|path| std::fs::remove_file(path).expect("it was written"));
    (families, server)
}

/// A scrape with what is told from its first measurement on only, a moment after the start.
#[allow(clippy::disallowed_methods, reason = "there is no runtime here to stop")]
fn once_measured(server: &Server) -> String {
    let start = Instant::now();
    loop {
        let text = server.metrics();
        if text.contains("\nsfumato_memory_used_ratio ") {
            return text;
        }
        assert!(start.elapsed() < PATIENCE, "memory is never measured:\n{text}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A certificate of its own authority and its key.
fn certificate_files() -> [String; 2] {
    static FILES: AtomicU32 = AtomicU32::new(0);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let stem = format!("sfumato-metrics-{}-{}", std::process::id(), FILES.fetch_add(1, Ordering::Relaxed));
    let parts = [("certificate", made.cert.pem()), ("key", made.signing_key.serialize_pem())];
    parts.map(|(part, pem)| {
        let path = std::env::temp_dir().join(format!("{stem}.{part}.pem"));
        std::fs::write(&path, pem).expect("a folder for temporary files");
        path.display().to_string()
    })
}

#[test]
fn every_metric_follows_the_conventions() {
    let (families, mut server) = scrape(&[]);
    assert!(families.len() > 60, "only {} metrics", families.len());
    let faults: Vec<String> = families.iter().flat_map(|(name, family)| faults(name, family)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    for (name, family) in families.iter().filter(|(_, family)| family.kind == "histogram") {
        assert_histogram(name, family);
    }
    let process = ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"];
    let told = ["sfumato_udp_receive_drops_total", "sfumato_tls_certificate_expiry_timestamp_seconds"];
    for name in process.into_iter().chain(told) {
        assert!(families.contains_key(name), "{name} cannot be read here");
    }
    server.assert_alive();
}

#[test]
fn each_convention_is_held_by_a_rule_that_fails() {
    let family = |kind: &str, label: Option<&str>| Family {
        help: "What it is.".to_owned(),
        kind: kind.to_owned(),
        samples: vec![Sample {
            name: String::new(),
            labels: label.map(|label| (label.to_owned(), "1".to_owned())).into_iter().collect(),
            value: 2.0,
        }],
    };
    assert_eq!(faults("sfumato_things_total", &family("counter", Some("kind"))), [""; 0]);
    for (name, kind, label) in [
        ("sfumato_Things", "gauge", None),
        ("things", "gauge", None),
        ("sfumato_things", "untyped", None),
        ("sfumato_things", "counter", None),
        ("sfumato_things_total", "gauge", None),
        ("sfumato_things_count", "gauge", None),
        ("sfumato_things_percent", "gauge", None),
        ("sfumato_delay_ms", "histogram", None),
        ("sfumato_delay", "histogram", None),
        ("sfumato_counter_of_things_total", "counter", None),
        ("sfumato_things", "gauge", Some("room")),
        ("sfumato_kind_of_things", "gauge", Some("kind")),
        ("sfumato_busy_ratio", "gauge", None),
    ] {
        assert!(!faults(name, &family(kind, label)).is_empty(), "{name} ({kind}, {label:?}) is found fault with");
    }
    let mut many = family("gauge", None);
    many.samples = (0..=SAMPLES).map(|_| sample("sfumato_things 1")).collect();
    assert_eq!(faults("sfumato_things", &many).len(), 1);
    let silent = Family { help: String::new(), ..family("gauge", None) };
    assert_eq!(faults("sfumato_things", &silent).len(), 1);
    let nothing = Family { samples: Vec::new(), ..family("gauge", None) };
    assert_eq!(faults("sfumato_things", &nothing).len(), 1);
}

#[test]
fn the_page_lists_every_metric_and_nothing_else() {
    let (own, _server) = scrape(&[]);
    let (all, _other) = scrape(&["--metrics-compatible-names"]);
    let compatible: BTreeMap<_, _> = all.into_iter().filter(|(name, _)| !own.contains_key(name)).collect();
    assert!(compatible.keys().all(|name| !name.starts_with("sfumato_")), "{:?}", compatible.keys());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = std::fs::read_to_string(&path).expect("the page is there");
    let written = with_list(&with_list(&page, "metrics", &table(&own)), "compatible", &table(&compatible));
    if std::env::var_os("SFUMATO_WRITE_DOCS").is_some() {
        std::fs::write(&path, written).expect("the page can be written");
    } else {
        let hint = "metrics changed: SFUMATO_WRITE_DOCS=1 cargo test --test metrics writes them";
        assert!(written == page, "{PAGE} is behind, {hint}:\n{}", difference(&page, &written));
    }
}

fn table(families: &BTreeMap<String, Family>) -> String {
    let row = |(name, family): (&String, &Family)| {
        let help = family.help.replace("\\n", " ").replace('|', "\\|");
        format!("| `{name}` | {} | {} | {help} |\n", family.kind, labels(family))
    };
    let rows: String = families.iter().map(row).collect();
    format!("| name | type | labels | what it tells |\n|---|---|---|---|\n{rows}")
}

/// Each label with its values, where they are few and the same everywhere.
fn labels(family: &Family) -> String {
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (label, value) in family.samples.iter().flat_map(|sample| &sample.labels) {
        values.entry(label).or_default().insert(value);
    }
    values.remove("le");
    let told = |(label, values): (&str, BTreeSet<&str>)| {
        let few = values.len() <= LISTED_VALUES && !VARYING.contains(&label);
        let listed = values.into_iter().collect::<Vec<_>>().join(", ");
        if few { format!("`{label}`: {listed}") } else { format!("`{label}`") }
    };
    values.into_iter().map(told).collect::<Vec<_>>().join("; ")
}

/// The page with a list between the marks of its name.
fn with_list(page: &str, name: &str, list: &str) -> String {
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let (before, rest) = page.split_once(&begin).expect("the mark at which the list begins");
    let (_, after) = rest.split_once(&end).expect("the mark at which it ends");
    format!("{before}{begin}{list}{end}{after}")
}

fn difference(page: &str, written: &str) -> String {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<String>>();
    let (is, should) = (lines(page), lines(written));
    let gone = is.difference(&should).map(|line| format!("- {line}"));
    gone.chain(should.difference(&is).map(|line| format!("+ {line}"))).collect::<Vec<_>>().join("\n")
}
