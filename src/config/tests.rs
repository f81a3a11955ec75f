//! Settings from all sources: who wins, what is named when it is wrong, what carries over.

use std::str::FromStr;

use super::*;

const KEYS: &str = "keys: {app: 0123456789abcdef0123456789abcdef}\n";

fn try_with(flags: &[&str], environment: &[(&str, &str)], file: &str) -> Result<Loaded, ConfigError> {
    let args = std::iter::once("sfumato").chain(flags.iter().copied()).map(OsString::from);
    let mut given = Given::default();
    given.add_flags(&mut command().try_get_matches_from(args).map_err(ConfigError::Usage)?);
    given.add_environment(environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))));
    resolve(given, Some(("the file test.yaml".to_owned(), file.to_owned())), KeysNeeded::Always)
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
        "--dev",
        "--bind",
        "127.0.0.1",
        "--port",
        "0",
        "--udp-port",
        "9000",
        "--node-ip",
        "192.0.2.1,2001:db8::1",
        "--shards",
        "3",
        "--keys",
        "a: b",
        "--room-empty-timeout",
        "1",
        "--stun-servers",
        "s.example:3478",
        "--turn-servers",
        "[{host: t.example, port: 443, protocol: tls}]",
        "--room-departure-timeout",
        "2",
        "--room-max-participants",
        "4",
        "--room-auto-create=false",
        "--tls-cert",
        "chain.pem",
        "--tls-key",
        "key.pem",
        "--trusted-proxies",
        "10.0.0.0/8,2001:db8::7",
        "--connections-per-address",
        "9",
        "--drain-grace",
        "5",
        "--drain-spread",
        "6",
        "--limit-shard-busy",
        "70",
        "--limit-memory",
        "0",
        "--log-level",
        "debug",
        "--log-json",
        "--metrics-port",
        "1",
        "--metrics-bind",
        "::1,192.0.2.2",
        "--metrics-compatible-names",
        "--otlp-endpoint",
        "https://collector.example:4318",
        "--trace-sample-ratio",
        "0.25",
    ];
    let variables: &[(&str, &str)] = &[
        ("SFUMATO_DEV", "true"),
        ("SFUMATO_BIND", "127.0.0.1"),
        ("SFUMATO_PORT", "0"),
        ("SFUMATO_UDP_PORT", "9000"),
        ("SFUMATO_NODE_IP", "192.0.2.1, 2001:db8::1"),
        ("SFUMATO_SHARDS", "3"),
        ("SFUMATO_STUN_SERVERS", "s.example:3478"),
        ("SFUMATO_TURN_SERVERS", "{host: t.example, port: 443, protocol: tls}"),
        ("SFUMATO_KEYS", "a: b"),
        ("SFUMATO_ROOM_EMPTY_TIMEOUT", "1"),
        ("SFUMATO_ROOM_DEPARTURE_TIMEOUT", "2"),
        ("SFUMATO_ROOM_MAX_PARTICIPANTS", "4"),
        ("SFUMATO_ROOM_AUTO_CREATE", "0"),
        ("SFUMATO_TLS_CERT", "chain.pem"),
        ("SFUMATO_TLS_KEY", "key.pem"),
        ("SFUMATO_TRUSTED_PROXIES", "10.0.0.0/8, 2001:db8::7"),
        ("SFUMATO_CONNECTIONS_PER_ADDRESS", "9"),
        ("SFUMATO_DRAIN_GRACE", "5"),
        ("SFUMATO_DRAIN_SPREAD", "6"),
        ("SFUMATO_LIMIT_SHARD_BUSY", "70"),
        ("SFUMATO_LIMIT_MEMORY", "0"),
        ("SFUMATO_LOG_LEVEL", "debug"),
        ("SFUMATO_LOG_JSON", "yes"),
        ("SFUMATO_METRICS_PORT", "1"),
        ("SFUMATO_METRICS_BIND", "::1,192.0.2.2"),
        ("SFUMATO_METRICS_COMPATIBLE_NAMES", "true"),
        ("SFUMATO_OTLP_ENDPOINT", "https://collector.example:4318"),
        ("SFUMATO_TRACE_SAMPLE_RATIO", "0.250"),
    ];
    let expected = Config {
        development: true,
        http: Http { bind: vec![[127, 0, 0, 1].into()], port: 0 },
        tls: Some(TlsFiles { certificate: "chain.pem".into(), key: "key.pem".into() }),
        clients: Clients {
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::7/128".parse().unwrap()],
            connections_per_address: 9,
        },
        operations: Operations {
            bind: vec!["::1".parse().unwrap(), "192.0.2.2".parse().unwrap()],
            port: 1,
            compatible_names: true,
        },
        keys: ApiKeys::from([("a".to_owned(), Secret::new("b"))]),
        media: Media {
            udp_port: 9000,
            node_ips: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
            shards: NonZeroUsize::new(3).unwrap(),
            room_spread: None,
            record_headers: false,
            ice_servers: vec![
                IceServer { uri: "stun:s.example:3478".to_owned(), login: None },
                IceServer { uri: "turns:t.example:443?transport=tcp".to_owned(), login: None },
            ],
        },
        rooms: RoomDefaults {
            empty_timeout: Duration::from_secs(1),
            departure_timeout: Duration::from_secs(2),
            max_participants: 4,
            auto_create: false,
        },
        drain: Drain { grace: Duration::from_secs(5), spread: Duration::from_secs(6) },
        overload: OverloadLimits { shard_busy_percent: 70, memory_percent: 0 },
        logs: Logs { level: LogLevel::Debug, json: true },
        traces: Traces {
            collector: Some(Uri::from_static("https://collector.example:4318")),
            sample_ratio: Ratio::new(0.25).unwrap(),
        },
    };
    assert_eq!(with(flags, &[], "").config, expected);
    assert_eq!(with(&[], variables, "").config, expected);
}

#[test]
fn a_collector_has_an_address_without_a_password_and_a_ratio_is_one() {
    let collector = |given: &str| {
        try_with(&["--dev", "--otlp-endpoint", given], &[], "").map(|loaded| loaded.config.traces.collector)
    };
    for good in ["http://127.0.0.1:4318", "https://collector.example/otlp"] {
        assert_eq!(collector(good).unwrap(), Some(Uri::from_str(good).unwrap()));
    }
    for wrong in ["127.0.0.1:4318", "collector", "grpc://collector:4317", "/v1/traces", "http://c/?token=1", ""] {
        let error = collector(wrong).unwrap_err().to_string();
        assert!(error.contains("--otlp-endpoint") && error.contains("http://127.0.0.1:4318"), "{wrong}: {error}");
    }
    let error = collector("http://me:hush@collector:4318").unwrap_err().to_string();
    assert!(error.contains("OTEL_EXPORTER_OTLP_HEADERS") && !error.contains("hush"), "{error}");
    assert_eq!(with(&["--dev"], &[], "tracing: {sample_ratio: 0.5}").config.traces.sample_ratio.share(), 0.5);
    for wrong in ["1.5", "-1", "many", "NaN"] {
        let file = format!("tracing: {{sample_ratio: \"{wrong}\"}}");
        assert!(super::tests::error(&["--dev"], &[], &file).contains("from 0 to 1"), "{wrong}");
    }
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
  stun_servers: [s.example:3478]
  turn_servers:
    - {host: t.example, port: 443, protocol: udp, username: u, credential: c}
prometheus_port: 6790
prometheus: {username: u, password: p}
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
limit: {num_tracks: -1, bytes_per_sec: 1_000_000_000, memory_percent: 80}
";
    let Loaded { config, warnings } = with(&[], &[], file);
    assert_eq!(config.http, Http { bind: vec!["::".parse().unwrap()], port: 7890 });
    assert_eq!(config.operations.port, 6790);
    assert_eq!(config.operations.bind, config.http.bind);
    assert_eq!(config.media.udp_port, 7900);
    assert_eq!(config.media.node_ips, ["198.51.100.7".parse::<IpAddr>().unwrap()]);
    let uris: Vec<&str> = config.media.ice_servers.iter().map(|server| server.uri.as_str()).collect();
    assert_eq!(uris, ["stun:s.example:3478", "turn:t.example:443?transport=udp"]);
    assert_eq!(config.keys.keys().collect::<Vec<_>>(), ["key1", "key2"]);
    assert_eq!(config.rooms.empty_timeout, Duration::from_secs(60));
    assert_eq!(config.rooms.departure_timeout, Duration::from_secs(5));
    assert_eq!(config.rooms.max_participants, 12);
    assert_eq!(config.logs, Logs { level: LogLevel::Warn, json: true });
    assert_eq!(config.overload, OverloadLimits { shard_busy_percent: 90, memory_percent: 80 });
    for key in [
        "redis",
        "rtc.port_range_start",
        "rtc.port_range_end",
        "rtc.tcp_port",
        "rtc.use_external_ip",
        "rtc.pli_throttle",
        "prometheus.username",
        "prometheus.password",
        "room.enabled_codecs",
        "webhook",
        "limit.num_tracks",
        "limit.bytes_per_sec",
        "logging.pion_level",
    ] {
        let named = warnings.iter().filter(|warning| warning.contains(&format!("`{key}`"))).count();
        assert_eq!(named, 1, "{key} in {warnings:?}");
    }
    // What is switched off is not missed.
    assert!(!warnings.iter().any(|warning| warning.contains("`turn`") || warning.contains("sample")), "{warnings:?}");
}

#[test]
fn the_operations_server_is_where_signalling_is_or_on_loopback_in_development() {
    let operations = |flags: &[&str], file: &str| with(flags, &[], &format!("{KEYS}{file}")).config.operations;
    let loopback: IpAddr = [127, 0, 0, 1].into();
    let default = operations(&[], "");
    assert_eq!((default.bind, default.port, default.compatible_names), (vec![], 6789, false));
    assert_eq!(operations(&["--bind", "192.0.2.1"], "").bind, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
    assert_eq!(operations(&["--dev", "--bind", "192.0.2.1"], "").bind, [loopback]);
    assert_eq!(operations(&["--metrics-bind", "127.0.0.1"], "bind_addresses: 192.0.2.1").bind, [loopback]);
    // Both names in a file: the key itself counts.
    assert_eq!(operations(&[], "prometheus_port: 1\nprometheus: {port: 2}").port, 2);
    assert!(error(&[], &[], "prometheus_port: x").contains("`prometheus_port`"));
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
        (&["--tls-cert", "chain.pem"], &[], KEYS, &["--tls-cert", "--tls-key"]),
        (&[], &[], "tls: {key_file: key.pem}", &["`tls.key_file`", "--tls-cert"]),
        (&["--tls-cert", "", "--tls-key", "k"], &[], KEYS, &["--tls-cert", "path"]),
        (&["--trusted-proxies", "10.0.0.0/33"], &[], KEYS, &["--trusted-proxies", "10.0.0.0/33"]),
        (&[], &[], "trusted_proxies: [proxy.example]", &["`trusted_proxies`", "proxy.example"]),
        (&["--dev=maybe"], &[], "", &["--dev", "maybe"]),
        (&["--limit-memory", "101"], &[], KEYS, &["--limit-memory", "100"]),
        (&[], &[], "drain: {grace: 5m}", &["`drain.grace`", "5m"]),
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
fn trusted_networks_are_read_in_the_form_addresses_are_compared_in() {
    let networks = |text: &str| {
        let loaded = with(&["--trusted-proxies", text], &[], KEYS);
        loaded.config.clients.trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(networks("10.1.2.3/8, 192.0.2.7"), ["10.0.0.0/8", "192.0.2.7/32"]);
    assert_eq!(networks("::ffff:10.1.0.0/112,::ffff:192.0.2.7"), ["10.1.0.0/16", "192.0.2.7/32"]);
    assert_eq!(networks(""), [""; 0]);
    assert_eq!(networks("::/0"), ["::/0"]);
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
fn a_server_drains_for_hours_and_in_development_not_at_all() {
    let seconds = |grace, spread| Drain { grace: Duration::from_secs(grace), spread: Duration::from_secs(spread) };
    assert_eq!(with(&[], &[], KEYS).config.drain, seconds(18_000, 20));
    assert_eq!(with(&["--dev"], &[], "").config.drain, seconds(0, 0));
    assert_eq!(with(&["--dev", "--drain-grace", "9"], &[], "").config.drain, seconds(9, 0));
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

#[test]
fn a_file_past_the_bound_is_not_read() {
    let path = std::env::temp_dir().join(format!("sfumato-config-{}.yaml", std::process::id()));
    std::fs::File::create(&path).unwrap().set_len(limits::CONFIG_BYTES + 1).unwrap();
    let args = ["sfumato".into(), "--config".into(), path.clone().into_os_string()];
    let text = load(args, []).unwrap_err().to_string();
    std::fs::remove_file(&path).unwrap();
    assert!(text.contains("larger than"), "{text}");
}

#[test]
fn a_file_is_found_by_flag_and_by_variable() {
    let path = std::env::temp_dir().join(format!("sfumato-found-{}.yaml", std::process::id()));
    std::fs::write(&path, format!("{KEYS}port: 4321\n")).unwrap();
    let by_flag = load(["sfumato".into(), "--config".into(), path.clone().into_os_string()], []);
    let by_variable = load(["sfumato".into()], [("SFUMATO_CONFIG".into(), path.clone().into_os_string())]);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(by_flag.unwrap().config.http.port, 4321);
    assert_eq!(by_variable.unwrap().config.http.port, 4321);
}
