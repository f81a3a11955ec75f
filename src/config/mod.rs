//! One typed [`Config`], parsed once: flags win over `SFUMATO_…` variables, those over the file, that over the defaults.
//!
//! Keys in the file are those of the configuration files users have for the server whose protocol is spoken here, where the
//! same thing exists; such keys that are not served yet are accepted with a warning. What always holds: an unknown
//! key or a wrong value is an error that names it, and no secret shows in a `Debug` or an error text.

mod file;
mod ice_servers;
mod settings;
mod value;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::Uri;
use ipnet::IpNet;

pub use ice_servers::IceServer;

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
    /// `None`: the public port speaks plain HTTP.
    pub tls: Option<TlsFiles>,
    pub clients: Clients,
    pub operations: Operations,
    pub keys: ApiKeys,
    pub media: Media,
    pub rooms: RoomDefaults,
    pub drain: Drain,
    pub overload: OverloadLimits,
    pub logs: Logs,
    pub traces: Traces,
}

/// Where signalling and the page are served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Http {
    /// Empty: every address of the machine, or only loopback in development mode.
    pub bind: Vec<IpAddr>,
    /// 0: any free one.
    pub port: u16,
}

/// The certificate chain and its private key, PEM files both.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// How clients of the public port are told apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Clients {
    /// Proxies whose word on a client's address is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Requests and signalling connections of one client address at a time. 0: no limit.
    pub connections_per_address: u32,
}

/// Where metrics and probes are served, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operations {
    /// Empty: every address of the machine.
    pub bind: Vec<IpAddr>,
    /// 0: any free one.
    pub port: u16,
    /// Metrics have the names of existing dashboards too.
    pub compatible_names: bool,
}

/// Secrets by API key; tokens are signed with them. A server has at least one.
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
    /// Participants of one room on one shard before others are placed elsewhere; `None`: as many as it can bear.
    pub room_spread: Option<NonZeroUsize>,
    /// Headers of everybody's packets are recorded.
    pub record_headers: bool,
    /// Told to clients whose protocol has a way to.
    pub ice_servers: Vec<IceServer>,
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

/// How the server ends when it is asked to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Drain {
    /// How long rooms that run may go on.
    pub grace: Duration,
    /// Time over which those who are left are told to reconnect.
    pub spread: Duration,
}

/// From when on nobody new is let in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OverloadLimits {
    /// Of the time of a shard's thread; 0: no limit.
    pub shard_busy_percent: u8,
    /// Of the memory there is; 0: no limit.
    pub memory_percent: u8,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Logs {
    /// Of this program's own events, where `RUST_LOG` says nothing.
    pub level: LogLevel,
    /// One JSON object a line.
    pub json: bool,
}

/// Traces of joins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Traces {
    /// Where they are sent, without the path that OTLP adds; `None`: nowhere.
    pub collector: Option<Uri>,
    /// How many of those that no caller decided about.
    pub sample_ratio: Ratio,
}

/// A share, kept in millionths.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ratio(u32);

impl Ratio {
    pub const ALL: Ratio = Ratio(1_000_000);

    /// `None` for what is not from 0 to 1.
    pub fn new(share: f64) -> Option<Ratio> {
        (0.0..=1.0).contains(&share).then(|| Ratio((share * 1e6).round() as u32))
    }

    /// 0 to 1.
    pub fn share(self) -> f64 {
        f64::from(self.0) / 1e6
    }
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
    UnknownKey { name: String, key: String, similar: Option<String> },
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

/// Who can do without API keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeysNeeded {
    Always,
    /// They are read if there are any, and judged as for a server.
    IfServing,
}

/// The program's command line with a flag for each setting.
pub fn command() -> clap::Command {
    settings::command()
}

/// Reads flags (`args` starts with the program's name), variables and the file they name, for a server.
pub fn load(
    args: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, ConfigError> {
    let mut flags = command().try_get_matches_from(args).map_err(ConfigError::Usage)?;
    from_flags(&mut flags, environment, KeysNeeded::Always)
}

/// The same of flags that were matched with [`command`], or with a subcommand of it.
pub fn from_flags(
    flags: &mut clap::ArgMatches,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    keys: KeysNeeded,
) -> Result<Loaded, ConfigError> {
    let mut given = Given::default();
    given.add_flags(flags);
    given.add_environment(environment);
    let file = match given.config_file()? {
        Some(path) => Some((format!("the file {}", path.display()), read(path)?)),
        None => None,
    };
    resolve(given, file, keys)
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
fn resolve(mut given: Given, file: Option<(String, String)>, needed: KeysNeeded) -> Result<Loaded, ConfigError> {
    if let Some((name, text)) = file {
        given.add_file(&name, &text)?;
    }
    let mut warnings = std::mem::take(&mut given.warnings);
    let development = given.read("development", |value| value.boolean())?.unwrap_or(false);
    let http = Http {
        bind: given.read("bind_addresses", |value| value.bind_addresses())?.unwrap_or_default(),
        port: given.read("port", |value| value.integer(0..=u16::MAX))?.unwrap_or(7880),
    };
    let config = Config {
        development,
        tls: tls(&given)?,
        clients: clients(&given)?,
        operations: operations(&given, development, &http)?,
        http,
        media: media(&given)?,
        rooms: rooms(&given, &mut warnings)?,
        drain: drain(&given, development)?,
        overload: OverloadLimits {
            shard_busy_percent: given.read("limit.shard_busy_percent", |value| value.percent())?.unwrap_or(90),
            memory_percent: given.read("limit.memory_percent", |value| value.percent())?.unwrap_or(90),
        },
        logs: Logs {
            level: given.read("logging.level", |value| value.log_level())?.unwrap_or(LogLevel::Info),
            json: given.read("logging.json", |value| value.boolean())?.unwrap_or(false),
        },
        traces: Traces {
            collector: given.read("tracing.otlp_endpoint", |value| value.collector())?,
            sample_ratio: given.read("tracing.sample_ratio", |value| value.ratio())?.unwrap_or(Ratio::ALL),
        },
        // Last: a wrong value is better told than that nothing can work without keys.
        keys: keys(&given, development, needed, &mut warnings)?,
    };
    Ok(Loaded { config, warnings })
}

fn tls(given: &Given) -> Result<Option<TlsFiles>, ConfigError> {
    let certificate = given.read("tls.cert_file", |value| value.path())?;
    let key = given.read("tls.key_file", |value| value.path())?;
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
        (None, None) => Ok(None),
        (Some(_), None) => {
            Err(given.wrong("tls.cert_file", "the private key is missing: name its file with --tls-key".to_owned()))
        }
        (None, Some(_)) => {
            Err(given.wrong("tls.key_file", "the certificate is missing: name its file with --tls-cert".to_owned()))
        }
    }
}

fn clients(given: &Given) -> Result<Clients, ConfigError> {
    let connections = given.read("connections_per_address", |value| value.integer(0..=u32::MAX))?;
    Ok(Clients {
        trusted_proxies: given.read("trusted_proxies", |value| value.networks())?.unwrap_or_default(),
        connections_per_address: connections.unwrap_or(limits::ADDRESS_CONNECTIONS),
    })
}

fn operations(given: &Given, development: bool, http: &Http) -> Result<Operations, ConfigError> {
    let default = || if development { vec![Ipv4Addr::LOCALHOST.into()] } else { http.bind.clone() };
    Ok(Operations {
        bind: given.read("prometheus.bind_addresses", |value| value.bind_addresses())?.unwrap_or_else(default),
        port: given.read("prometheus.port", |value| value.integer(0..=u16::MAX))?.unwrap_or(6789),
        compatible_names: given.read("prometheus.compatible_names", |value| value.boolean())?.unwrap_or(false),
    })
}

fn keys(
    given: &Given,
    development: bool,
    needed: KeysNeeded,
    warnings: &mut Vec<String>,
) -> Result<ApiKeys, ConfigError> {
    let keys = given.read("keys", |value| value.keys())?.unwrap_or_default();
    if keys.is_empty() {
        let (key, secret) = DEVELOPMENT_KEY;
        return match (development, needed) {
            (true, _) => Ok(ApiKeys::from([(key.to_owned(), Secret::new(secret))])),
            (false, KeysNeeded::IfServing) => Ok(keys),
            (false, KeysNeeded::Always) => Err(ConfigError::NoKeys),
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
    let mut ice_servers = given.read("rtc.stun_servers", |value| value.stun_servers())?.unwrap_or_default();
    ice_servers.extend(given.read("rtc.turn_servers", |value| value.turn_servers())?.unwrap_or_default());
    let room_spread = given.read("room.spread", |value| value.integer(0..=limits::ROOM_PARTICIPANTS))?;
    let room_spread = room_spread.and_then(NonZeroUsize::new);
    let record_headers = given.read("recorder.headers", |value| value.boolean())?.unwrap_or(false);
    Ok(Media { udp_port, node_ips, shards, room_spread, record_headers, ice_servers })
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
            "room.auto_create is off: every join is refused, because rooms cannot be created in another way yet"
                .to_owned(),
        );
    }
    Ok(rooms)
}

/// In development whoever presses Ctrl-C does not want to wait.
fn drain(given: &Given, development: bool) -> Result<Drain, ConfigError> {
    let seconds = |serving| if development { Duration::ZERO } else { Duration::from_secs(serving) };
    Ok(Drain {
        grace: given.read("drain.grace", |value| value.seconds())?.unwrap_or(seconds(18_000)),
        spread: given.read("drain.spread", |value| value.seconds())?.unwrap_or(seconds(20)),
    })
}

#[cfg(test)]
mod tests;
