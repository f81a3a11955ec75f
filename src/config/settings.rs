//! The table of settings, and what flags, variables and the file give for them.
//!
//! One line of the table makes a flag, its `SFUMATO_…` variable, its key in the file and its line of `--help`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::Value;

use super::value::SettingValue;
use super::{ConfigError, file};

pub(super) struct Setting {
    /// Path in the file, by dots.
    pub key: &'static str,
    pub flag: &'static str,
    /// How help calls the value.
    pub value: &'static str,
    /// The flag alone means `true`.
    pub switch: bool,
    pub help: &'static str,
}

impl Setting {
    /// `SFUMATO_` and the flag's words.
    pub fn variable(&self) -> String {
        variable(self.flag)
    }
}

fn variable(flag: &str) -> String {
    format!("{PREFIX}{}", flag.replace('-', "_").to_uppercase())
}

const PREFIX: &str = "SFUMATO_";

const fn value(key: &'static str, flag: &'static str, value: &'static str, help: &'static str) -> Setting {
    Setting { key, flag, value, switch: false, help }
}

const fn switch(key: &'static str, flag: &'static str, help: &'static str) -> Setting {
    Setting { key, flag, value: "BOOL", switch: true, help }
}

pub(super) const SETTINGS: &[Setting] = &[
    switch(
        "development",
        "dev",
        "Development mode: key `devkey` with secret `secret`, tokens at /dev/token, loopback only unless --bind says otherwise",
    ),
    value(
        "bind_addresses",
        "bind",
        "ADDR",
        "Addresses to serve signalling and the page on, by commas; default: all, or loopback in development mode",
    ),
    value("port", "port", "PORT", "TCP port of signalling and the page; 0 takes any free one; default: 7880"),
    value(
        "tls.cert_file",
        "tls-cert",
        "FILE",
        "Certificate chain (PEM) to serve HTTPS and wss:// with, read anew when it changes; default: none, plain HTTP",
    ),
    value("tls.key_file", "tls-key", "FILE", "Private key (PEM) of that certificate"),
    value(
        "trusted_proxies",
        "trusted-proxies",
        "CIDR",
        "Networks of proxies whose Forwarded or X-Forwarded-For headers are believed, by commas; default: none",
    ),
    value(
        "connections_per_address",
        "connections-per-address",
        "N",
        "Requests and signalling connections of one client address at a time; loopback is exempt; 0: no limit; default: 2048",
    ),
    value(
        "rtc.udp_port",
        "udp-port",
        "PORT",
        "UDP port of media, the first of one per shard; 0 takes any free ones; default: 7882",
    ),
    value(
        "rtc.node_ip",
        "node-ip",
        "IP",
        "Addresses clients send media to, by commas; default: the machine's own. Needed behind NAT",
    ),
    value(
        "rtc.stun_servers",
        "stun-servers",
        "HOST:PORT",
        "STUN servers that clients of HTTP publishing and playback are told of, by commas; default: none",
    ),
    value(
        "rtc.turn_servers",
        "turn-servers",
        "LIST",
        "TURN servers they are told of, as YAML: '[{host: HOST, port: PORT, protocol: udp, username: U, credential: C}]'",
    ),
    value("shards", "shards", "N", "Threads that forward media; default: the number of cores"),
    value(
        "keys",
        "keys",
        "'KEY: SECRET'",
        "API keys with the secrets that sign tokens. Rather use the variable or the file: other users see command lines",
    ),
    value("room.empty_timeout", "room-empty-timeout", "SECONDS", "Life of a room nobody has joined yet; default: 300"),
    value(
        "room.departure_timeout",
        "room-departure-timeout",
        "SECONDS",
        "Life of a room after its last participant left; default: 20",
    ),
    value("room.max_participants", "room-max-participants", "N", "Participants in a room; 0, the default: no limit"),
    value(
        "room.spread",
        "room-spread",
        "N",
        "Participants of a room on its first shard before others go to further shards; 0, the default: as many as it can bear",
    ),
    switch(
        "recorder.headers",
        "record-headers",
        "Record the packet headers of every participant, never media, for /debug: up to 2 MiB each, 64 participants a shard",
    ),
    switch("room.auto_create", "room-auto-create", "Joining creates the room; default: true"),
    value(
        "drain.grace",
        "drain-grace",
        "SECONDS",
        "After SIGTERM, how long rooms go on before their participants are told to reconnect; default: 18000, 0 with --dev",
    ),
    value(
        "drain.spread",
        "drain-spread",
        "SECONDS",
        "Time over which they are told; 20, the default, is a twentieth of them a second; 0 with --dev",
    ),
    value(
        "limit.shard_busy_percent",
        "limit-shard-busy",
        "PERCENT",
        "Refuse new participants where a media thread is busy for more of its time; 0: never; default: 90",
    ),
    value(
        "limit.memory_percent",
        "limit-memory",
        "PERCENT",
        "Refuse them when more of the control group's or the machine's memory is used; 0: never; default: 90",
    ),
    value("logging.level", "log-level", "LEVEL", "error, warn, info, debug or trace; RUST_LOG wins; default: info"),
    switch("logging.json", "log-json", "Log one JSON object a line"),
    value(
        "prometheus.port",
        "metrics-port",
        "PORT",
        "TCP port of the operations server: metrics and probes; 0 takes any free one; default: 6789",
    ),
    value(
        "prometheus.bind_addresses",
        "metrics-bind",
        "ADDR",
        "Addresses of the operations server, by commas; default: those of --bind, or 127.0.0.1 in development mode",
    ),
    switch(
        "prometheus.compatible_names",
        "metrics-compatible-names",
        "Export metrics under the names of existing dashboards too, as far as they are the same thing",
    ),
    value(
        "tracing.otlp_endpoint",
        "otlp-endpoint",
        "URL",
        "Collector that traces of joins are sent to by OTLP over HTTP, as in http://127.0.0.1:4318; default: none",
    ),
    value(
        "tracing.sample_ratio",
        "trace-sample-ratio",
        "RATIO",
        "Share of the joins that are traced, 0 to 1; those of traced callers always are, as W3C traceparent says; default: 1",
    ),
];

/// What the three sources give, the strongest first come.
#[derive(Default)]
pub(super) struct Given {
    values: BTreeMap<&'static str, SettingValue>,
    config_file: Option<PathBuf>,
    pub warnings: Vec<String>,
}

impl Given {
    /// Reads the value of a setting, if there is one.
    pub fn read<T>(
        &self,
        key: &'static str,
        as_type: impl FnOnce(&SettingValue) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        debug_assert!(SETTINGS.iter().any(|setting| setting.key == key), "{key} is in the table");
        let Some(value) = self.values.get(key) else {
            return Ok(None);
        };
        as_type(value).map(Some).map_err(|problem| ConfigError::Value { setting: value.name.clone(), problem })
    }

    /// An error about a setting whose value is well-formed, but wrong.
    pub fn wrong(&self, key: &'static str, problem: String) -> ConfigError {
        let setting = self.values.get(key).map(|value| value.name.clone()).unwrap_or_else(|| format!("`{key}`"));
        ConfigError::Value { setting, problem }
    }

    pub fn config_file(&self) -> Result<Option<PathBuf>, ConfigError> {
        Ok(self.config_file.clone())
    }

    fn add(&mut self, key: &'static str, name: String, value: Value) {
        self.values.entry(key).or_insert(SettingValue { name, value });
    }

    /// `matches` of a command with the flags of [`command`].
    pub fn add_flags(&mut self, matches: &mut ArgMatches) {
        self.config_file = matches.remove_one::<String>("config").map(PathBuf::from);
        for setting in SETTINGS {
            if let Some(text) = matches.remove_one::<String>(setting.flag) {
                self.add(setting.key, format!("--{}", setting.flag), Value::String(text));
            }
        }
    }

    /// Variables without the prefix are not looked at.
    pub fn add_environment(&mut self, environment: impl IntoIterator<Item = (OsString, OsString)>) {
        for (name, text) in environment {
            let (Some(name), Some(text)) = (name.to_str(), text.to_str()) else {
                continue;
            };
            if !name.starts_with(PREFIX) {
                continue;
            }
            let setting = SETTINGS.iter().find(|setting| setting.variable() == name);
            match setting {
                // Kubernetes sets such variables for a service named `sfumato`.
                Some(_) if text.starts_with("tcp://") || text.starts_with("udp://") => {
                    self.warnings.push(format!("{name} is ignored: it names a service, not a setting"));
                }
                Some(setting) => self.add(setting.key, name.to_owned(), Value::String(text.to_owned())),
                None if name == variable("config") => {
                    self.config_file.get_or_insert_with(|| PathBuf::from(text));
                }
                None => self.warnings.push(format!("{name} is ignored: there is no such setting")),
            }
        }
    }

    /// `name` says which file, in errors.
    pub fn add_file(&mut self, name: &str, text: &str) -> Result<(), ConfigError> {
        let contents = file::read(name, text)?;
        for file::Entry { key, path, value } in contents.values {
            self.add(key, format!("`{path}` in {name}"), value);
        }
        let ignored = contents.unserved.into_iter();
        self.warnings.extend(ignored.map(|key| format!("`{key}` in {name} is not supported yet and has no effect")));
        Ok(())
    }
}

/// The program's command line with a flag for each setting; a subcommand takes them too.
pub(super) fn command() -> Command {
    let config = Arg::new("config")
        .long("config")
        .global(true)
        .value_name("FILE")
        .help(format!("Read settings from a YAML file [variable: {}]", variable("config")));
    Command::new("sfumato")
        .version(env!("CARGO_PKG_VERSION"))
        .about(env!("CARGO_PKG_DESCRIPTION"))
        .after_help("Flags win over variables, those over the file. RUST_LOG filters the log by module.")
        .arg(config)
        .args(SETTINGS.iter().map(flag))
}

fn flag(setting: &Setting) -> Arg {
    let help = format!("{} [variable: {}, key: {}]", setting.help, setting.variable(), setting.key);
    let arg = Arg::new(setting.flag).long(setting.flag).value_name(setting.value);
    let arg = arg.global(true).action(ArgAction::Set).help(help);
    match setting.switch {
        true => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        // A negative number is a wrong value, not an unknown flag.
        false => arg.allow_hyphen_values(false),
    }
}
