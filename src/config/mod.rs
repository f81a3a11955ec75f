//! One typed [`Config`], parsed once: flags win over `SFUMATO_…` variables, those over the file, that over the defaults.
//!
//! Keys in the file are those of the configuration files users have for the server whose protocol is spoken here, where the
//! same thing exists; such keys that are not served yet are accepted with a warning. What always holds: an unknown
//! key or a wrong value is an error that names it, and no secret shows in a `Debug` or an error text.

mod file;
mod settings;
mod value;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::limits;
use settings::Given;

/// Secrets outside development mode have at least this many characters: HS256 wants a key as long as its digest (RFC 7518, section 3.2).
pub const SECRET_CHARS: usize = 32;
/// The development mode's key and secret: publicly known.
pub const DEVELOPMENT_KEY: (&str, &str) = ("devkey", "secret");

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Publicly known keys, tokens handed out, loopback addresses.
    pub development: bool,
    pub http: Http,
    pub keys: ApiKeys,
    pub media: Media,
    pub rooms: RoomDefaults,
    pub logs: Logs,
}

/// Where signalling and the page are served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Http {
    /// Empty: every address of the machine, or only loopback in development mode.
    pub bind: Vec<IpAddr>,
    /// 0: any free one.
    pub port: u16,
}

/// Secrets by API key; tokens are signed with them. Never empty.
pub type ApiKeys = BTreeMap<String, Secret>;

/// A shared secret. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Media {
    /// The first of one UDP port per shard. 0: any free ones.
    pub udp_port: u16,
    /// Addresses to offer as candidates; empty: the machine's own.
    pub node_ips: Vec<IpAddr>,
    pub shards: NonZeroUsize,
}

/// What a room is created with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomDefaults {
    /// How long a room waits for its first participant.
    pub empty_timeout: Duration,
    /// How long a room stays after its last participant left.
    pub departure_timeout: Duration,
    /// 0: no limit but the server's.
    pub max_participants: u32,
    /// Joining creates the room.
    pub auto_create: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Logs {
    /// Of this program's own events, where `RUST_LOG` says nothing.
    pub level: LogLevel,
    /// One JSON object a line.
    pub json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// A configuration, and what its user should know about it.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Also `--help` and `--version`, which are no failures.
    #[error("{0}")]
    Usage(clap::Error),
    #[error("cannot read the configuration file {path}: {error}", path = path.display())]
    Read { path: PathBuf, error: std::io::Error },
    #[error("{name} is not valid YAML: {error}")]
    Syntax { name: String, error: String },
    #[error("unknown key `{key}` in {name}{}", suggestion(.similar))]
    UnknownKey {
        name: String,
        key: String,
        similar: Option<String>,
    },
    #[error("{setting}: {problem}")]
    Value { setting: String, problem: String },
    #[error(
        "no API keys, so nobody could join. Set `keys` in the configuration file or SFUMATO_KEYS='KEY: SECRET' \
         (a secret of at least {SECRET_CHARS} characters), or try the server out with --dev"
    )]
    NoKeys,
    #[error(
        "the secret of key `{key}` has {chars} characters; at least {SECRET_CHARS} are needed outside development mode \
         (for example: openssl rand -base64 32)"
    )]
    ShortSecret { key: String, chars: usize },
}

fn suggestion(similar: &Option<String>) -> String {
    similar.as_ref().map(|key| format!("; did you mean `{key}`?")).unwrap_or_default()
}

/// Reads flags (`args` starts with the program's name), variables and the file they name.
pub fn load(
    args: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, ConfigError> {
    let mut given = Given::default();
    given.add_flags(args)?;
    given.add_environment(environment);
    let file = match given.config_file()? {
        Some(path) => Some((format!("the file {}", path.display()), read(path)?)),
        None => None,
    };
    resolve(given, file)
}

fn read(path: PathBuf) -> Result<String, ConfigError> {
    let size = std::fs::metadata(&path).map(|meta| meta.len()).unwrap_or(0);
    if size > limits::CONFIG_BYTES {
        let error = std::io::Error::other(format!("larger than {} bytes", limits::CONFIG_BYTES));
        return Err(ConfigError::Read { path, error });
    }
    std::fs::read_to_string(&path).map_err(|error| ConfigError::Read { path, error })
}

/// `file`: how to call it in an error, and its text.
fn resolve(mut given: Given, file: Option<(String, String)>) -> Result<Loaded, ConfigError> {
    if let Some((name, text)) = file {
        given.add_file(&name, &text)?;
    }
    let mut warnings = std::mem::take(&mut given.warnings);
    let development = given.read("development", |value| value.boolean())?.unwrap_or(false);
    let config = Config {
        development,
        http: Http {
            bind: given.read("bind_addresses", |value| value.bind_addresses())?.unwrap_or_default(),
            port: given.read("port", |value| value.integer(0..=u16::MAX))?.unwrap_or(7880),
        },
        keys: keys(&given, development, &mut warnings)?,
        media: media(&given)?,
        rooms: rooms(&given, &mut warnings)?,
        logs: Logs {
            level: given.read("logging.level", |value| value.log_level())?.unwrap_or(LogLevel::Info),
            json: given.read("logging.json", |value| value.boolean())?.unwrap_or(false),
        },
    };
    Ok(Loaded { config, warnings })
}

fn keys(given: &Given, development: bool, warnings: &mut Vec<String>) -> Result<ApiKeys, ConfigError> {
    let keys = given.read("keys", |value| value.keys())?.unwrap_or_default();
    if keys.is_empty() {
        let (key, secret) = DEVELOPMENT_KEY;
        return match development {
            true => Ok(ApiKeys::from([(key.to_owned(), Secret::new(secret))])),
            false => Err(ConfigError::NoKeys),
        };
    }
    for (key, secret) in &keys {
        let chars = secret.0.chars().count();
        if chars >= SECRET_CHARS {
            continue;
        }
        if !development {
            return Err(ConfigError::ShortSecret { key: key.clone(), chars });
        }
        if (key.as_str(), secret.0.as_str()) != DEVELOPMENT_KEY {
            warnings.push(format!(
                "the secret of key `{key}` has fewer than {SECRET_CHARS} characters: good for development only"
            ));
        }
    }
    Ok(keys)
}

fn media(given: &Given) -> Result<Media, ConfigError> {
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN).get();
    let shards = given.read("shards", |value| value.integer(1..=limits::SHARDS))?;
    let shards = NonZeroUsize::new(shards.unwrap_or(cores.min(limits::SHARDS))).unwrap_or(NonZeroUsize::MIN);
    let udp_port = given.read("rtc.udp_port", |value| value.udp_port())?.unwrap_or(7882);
    if udp_port != 0 && usize::from(udp_port) + shards.get() - 1 > usize::from(u16::MAX) {
        return Err(given.wrong(
            "rtc.udp_port",
            format!("{shards} shards take one port each from {udp_port} on, which goes past {}", u16::MAX),
        ));
    }
    let node_ips = given.read("rtc.node_ip", |value| value.addresses())?.unwrap_or_default();
    if let Some(ip) = node_ips.iter().find(|ip| ip.is_unspecified()) {
        return Err(given.wrong("rtc.node_ip", format!("{ip} is no address that clients can send to")));
    }
    Ok(Media { udp_port, node_ips, shards })
}

fn rooms(given: &Given, warnings: &mut Vec<String>) -> Result<RoomDefaults, ConfigError> {
    let rooms = RoomDefaults {
        empty_timeout: given.read("room.empty_timeout", |value| value.seconds())?.unwrap_or(Duration::from_secs(300)),
        departure_timeout: given
            .read("room.departure_timeout", |value| value.seconds())?
            .unwrap_or(Duration::from_secs(20)),
        max_participants: given.read("room.max_participants", |value| value.integer(0..=u32::MAX))?.unwrap_or(0),
        auto_create: given.read("room.auto_create", |value| value.boolean())?.unwrap_or(true),
    };
    if !rooms.auto_create {
        warnings.push(
            "room.auto_create is off: every join is refused, because rooms cannot be created in another way yet".to_owned(),
        );
    }
    Ok(rooms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &str = "keys: {app: 0123456789abcdef0123456789abcdef}\n";

    fn try_with(flags: &[&str], environment: &[(&str, &str)], file: &str) -> Result<Loaded, ConfigError> {
        let mut given = Given::default();
        given.add_flags(std::iter::once("sfumato").chain(flags.iter().copied()).map(OsString::from))?;
        given.add_environment(environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))));
        resolve(given, Some(("the file test.yaml".to_owned(), file.to_owned())))
    }

    fn with(flags: &[&str], environment: &[(&str, &str)], file: &str) -> Loaded {
        try_with(flags, environment, file).unwrap()
    }

    fn error(flags: &[&str], environment: &[(&str, &str)], file: &str) -> String {
        try_with(flags, environment, file).unwrap_err().to_string()
    }

    #[test]
    fn flags_win_over_variables_over_the_file_over_defaults() {
        let port = |flags: &[&str], environment: &[(&str, &str)], file: &str| {
            with(flags, environment, &format!("{KEYS}{file}")).config.http.port
        };
        assert_eq!(port(&[], &[], ""), 7880);
        assert_eq!(port(&[], &[], "port: 1"), 1);
        assert_eq!(port(&[], &[("SFUMATO_PORT", "2")], "port: 1"), 2);
        assert_eq!(port(&["--port", "3"], &[("SFUMATO_PORT", "2")], "port: 1"), 3);
    }

    #[test]
    fn every_setting_is_read_from_flags_and_from_variables() {
        let flags: &[&str] = &[
            "--dev", "--bind", "127.0.0.1", "--port", "0", "--udp-port", "9000", "--node-ip", "192.0.2.1,2001:db8::1",
            "--shards", "3", "--keys", "a: b", "--room-empty-timeout", "1", "--room-departure-timeout", "2",
            "--room-max-participants", "4", "--room-auto-create=false", "--log-level", "debug", "--log-json",
        ];
        let variables: &[(&str, &str)] = &[
            ("SFUMATO_DEV", "true"), ("SFUMATO_BIND", "127.0.0.1"), ("SFUMATO_PORT", "0"), ("SFUMATO_UDP_PORT", "9000"),
            ("SFUMATO_NODE_IP", "192.0.2.1, 2001:db8::1"), ("SFUMATO_SHARDS", "3"), ("SFUMATO_KEYS", "a: b"),
            ("SFUMATO_ROOM_EMPTY_TIMEOUT", "1"), ("SFUMATO_ROOM_DEPARTURE_TIMEOUT", "2"),
            ("SFUMATO_ROOM_MAX_PARTICIPANTS", "4"), ("SFUMATO_ROOM_AUTO_CREATE", "0"), ("SFUMATO_LOG_LEVEL", "debug"),
            ("SFUMATO_LOG_JSON", "yes"),
        ];
        let expected = Config {
            development: true,
            http: Http { bind: vec![[127, 0, 0, 1].into()], port: 0 },
            keys: ApiKeys::from([("a".to_owned(), Secret::new("b"))]),
            media: Media {
                udp_port: 9000,
                node_ips: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
                shards: NonZeroUsize::new(3).unwrap(),
            },
            rooms: RoomDefaults {
                empty_timeout: Duration::from_secs(1),
                departure_timeout: Duration::from_secs(2),
                max_participants: 4,
                auto_create: false,
            },
            logs: Logs { level: LogLevel::Debug, json: true },
        };
        assert_eq!(with(flags, &[], "").config, expected);
        assert_eq!(with(&[], variables, "").config, expected);
    }

    #[test]
    fn a_file_of_the_other_server_carries_over_with_warnings() {
        let file = "
port: 7890
bind_addresses: [\"\"]
redis:
  address: redis.host:6379
rtc:
  port_range_start: 50000
  port_range_end: 60000
  tcp_port: 7881
  use_external_ip: true
  udp_port: 7900
  node_ip: 198.51.100.7
  pli_throttle: {low_quality: 500ms}
prometheus_port: 6789
keys:
  key1: 0123456789abcdef0123456789abcdef
  key2: abcdef0123456789abcdef0123456789
logging: {level: warning, pion_level: error, json: true, sample: false}
room:
  auto_create: true
  empty_timeout: 60
  departure_timeout: 5
  max_participants: 12
  enabled_codecs: [{mime: audio/opus}, {mime: video/vp8}]
webhook: {api_key: key1, urls: [\"https://example.org/hook\"]}
turn: {enabled: false}
limit: {num_tracks: -1, bytes_per_sec: 1_000_000_000}
";
        let Loaded { config, warnings } = with(&[], &[], file);
        assert_eq!(config.http, Http { bind: vec!["::".parse().unwrap()], port: 7890 });
        assert_eq!(config.media.udp_port, 7900);
        assert_eq!(config.media.node_ips, ["198.51.100.7".parse::<IpAddr>().unwrap()]);
        assert_eq!(config.keys.keys().collect::<Vec<_>>(), ["key1", "key2"]);
        assert_eq!(config.rooms.empty_timeout, Duration::from_secs(60));
        assert_eq!(config.rooms.departure_timeout, Duration::from_secs(5));
        assert_eq!(config.rooms.max_participants, 12);
        assert_eq!(config.logs, Logs { level: LogLevel::Warn, json: true });
        for key in [
            "redis", "rtc.port_range_start", "rtc.port_range_end", "rtc.tcp_port", "rtc.use_external_ip",
            "rtc.pli_throttle", "prometheus_port", "room.enabled_codecs", "webhook", "limit", "logging.pion_level",
        ] {
            let named = warnings.iter().filter(|warning| warning.contains(&format!("`{key}`"))).count();
            assert_eq!(named, 1, "{key} in {warnings:?}");
        }
        // What is switched off is not missed.
        assert!(!warnings.iter().any(|warning| warning.contains("`turn`") || warning.contains("sample")), "{warnings:?}");
    }

    #[test]
    fn unknown_keys_are_named_with_what_was_meant() {
        assert_eq!(error(&[], &[], "prot: 1"), "unknown key `prot` in the file test.yaml; did you mean `port`?");
        assert_eq!(
            error(&[], &[], "rtc: {udpport: 1}"),
            "unknown key `rtc.udpport` in the file test.yaml; did you mean `rtc.udp_port`?"
        );
        assert_eq!(error(&[], &[], "nonsense: 1"), "unknown key `nonsense` in the file test.yaml");
        assert!(error(&["--prot", "1"], &[], "").contains("--prot"));
    }

    #[test]
    fn wrong_values_are_named_with_where_they_stand() {
        for (flags, environment, file, parts) in [
            (&["--port", "x"][..], &[][..], "", &["--port", "`x`", "65535"][..]),
            (&[], &[("SFUMATO_PORT", "70000")], "", &["SFUMATO_PORT", "70000"]),
            (&[], &[], "port: [1]", &["`port`", "test.yaml"]),
            (&[], &[], "port: -1", &["`port`", "-1"]),
            (&[], &[], "rtc: {udp_port: 7882-7892}", &["`rtc.udp_port`", "range"]),
            (&["--node-ip", "0.0.0.0"], &[], KEYS, &["--node-ip", "0.0.0.0"]),
            (&["--bind", "localhost"], &[], "", &["--bind", "localhost"]),
            (&["--shards", "0"], &[], KEYS, &["--shards", "256"]),
            (&["--udp-port", "65535", "--shards", "2"], &[], KEYS, &["--udp-port", "65535"]),
            (&["--dev=maybe"], &[], "", &["--dev", "maybe"]),
            (&[], &[], "logging: {level: loud}", &["`logging.level`", "loud"]),
            (&[], &[], "rtc: 5", &["`rtc`"]),
            (&[], &[], "keys: [a]", &["`keys`"]),
            (&[], &[], "room: {empty_timeout: soon}", &["`room.empty_timeout`", "soon"]),
            (&[], &[], "{", &["test.yaml", "YAML"]),
            (&[], &[], "- a", &["test.yaml"]),
        ] {
            let text = error(flags, environment, file);
            for part in parts {
                assert!(text.contains(part), "{text:?} lacks {part:?}");
            }
        }
    }

    #[test]
    fn keys_are_required_and_long_outside_development() {
        assert!(error(&[], &[], "").contains("--dev"));
        assert!(error(&[], &[], "keys: {app: short}").contains("`app`"));
        assert!(!error(&[], &[], "keys: {app: short}").contains("short}"));
        // A number would lose its leading zeros: it must be quoted.
        assert!(error(&[], &[], "keys: {app: 12345678901234567890123456789012}").contains("quote"));
        assert!(with(&["--dev"], &[], "").warnings.is_empty());
        let development = with(&["--dev"], &[], "keys: {app: short}");
        assert_eq!(development.warnings.len(), 1);
        assert!(development.warnings[0].contains("`app`"));
    }

    #[test]
    fn a_secret_does_not_show() {
        let loaded = with(&[], &[], KEYS);
        assert!(!format!("{loaded:?}").contains("0123456789"));
        assert!(!error(&[], &[("SFUMATO_KEYS", "just-a-secret-without-key")], "").contains("just-a-secret"));
    }

    #[test]
    fn variables_that_kubernetes_sets_for_a_service_are_no_settings() {
        let environment = [("SFUMATO_PORT", "tcp://10.0.0.7:7880"), ("SFUMATO_SERVICE_HOST", "10.0.0.7")];
        let loaded = with(&[], &environment, KEYS);
        assert_eq!(loaded.config.http.port, 7880);
        assert_eq!(loaded.warnings.len(), 2, "{:?}", loaded.warnings);
    }

    #[test]
    fn help_explains_every_flag_with_its_variable_and_key() {
        let ConfigError::Usage(help) = try_with(&["--help"], &[], "").unwrap_err() else { panic!() };
        let help = help.to_string();
        for setting in settings::SETTINGS {
            for text in [format!("--{}", setting.flag), setting.variable(), setting.key.to_owned()] {
                assert!(help.contains(&text), "{text} is not in\n{help}");
            }
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let args = ["sfumato", "--config", "/nonexistent/sfumato.yaml"].map(OsString::from);
        let text = load(args, []).unwrap_err().to_string();
        assert!(text.contains("/nonexistent/sfumato.yaml"), "{text}");
    }
}
