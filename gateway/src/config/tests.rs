//! The configuration's behaviour, from all its sources.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use super::options::SETTINGS;
use super::*;

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn flags(given: &[(&'static str, &str)]) -> Flags {
    given.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn load_file(text: &str) -> Result<Loaded, ConfigError> {
    Config::load(Some(file(text).path()), &Environment::default(), &Flags::default())
}

#[test]
fn nothing_configured_is_valid() {
    let loaded = Config::load(None, &environment(&[("HOME", "/home/a")]), &Flags::default()).unwrap();
    let expected = Config { data_dir: "/home/a/.local/share/sluice".into(), ..Config::default() };
    assert_eq!(loaded.config, expected);
    assert_eq!(loaded.source("server.listen"), Source::Default);
}

#[test]
fn a_flag_wins_over_a_variable_over_the_file_over_the_default() {
    let file = file("[server]\nmax_connections = 1\nmax_headers = 11\nmax_body_bytes = 1111\n");
    let environment = environment(&[("GATEWAY_MAX_CONNECTIONS", "2"), ("GATEWAY_MAX_HEADERS", "22")]);
    let flags = flags(&[("max-connections", "3")]);
    let loaded = Config::load(Some(file.path()), &environment, &flags).unwrap();
    let server = &loaded.config.server;
    assert_eq!((server.max_connections, server.max_headers, server.max_body_bytes), (3, 22, 1111));
    assert_eq!(server.worker_threads, ServerConfig::default().worker_threads);
    assert_eq!(loaded.source("server.max_connections").to_string(), "flag --max-connections");
    assert_eq!(loaded.source("server.max_headers").to_string(), "environment variable GATEWAY_MAX_HEADERS");
    assert_eq!(loaded.source("server.max_body_bytes"), Source::File(file.path().to_owned()));
}

#[test]
fn the_data_folder_falls_back_from_xdg_to_home_to_here() {
    let data_dir = |variables: &[(&str, &str)]| {
        Config::load(None, &environment(variables), &Flags::default()).unwrap().config.data_dir
    };
    assert_eq!(data_dir(&[("XDG_DATA_HOME", "/x"), ("HOME", "/h")]), Path::new("/x/sluice"));
    assert_eq!(data_dir(&[("XDG_DATA_HOME", ""), ("HOME", "/h")]), Path::new("/h/.local/share/sluice"));
    assert_eq!(data_dir(&[("HOME", "/")]), Path::new("./data"));
    assert_eq!(data_dir(&[("GATEWAY_DATA_DIR", "/d"), ("HOME", "/h")]), Path::new("/d"));
}

#[test]
fn models_of_the_file_inherit_the_common_settings_and_keep_their_own() {
    let file = file(
        "[model]\ncontext = 512\n[[models]]\npath = 'a.gguf'\n[[models]]\nid = 'b'\npath = 'c.gguf'\nparallel = 2\n",
    );
    let environment = environment(&[("GATEWAY_PARALLEL", "4")]);
    let loaded = Config::load(Some(file.path()), &environment, &Flags::default()).unwrap();
    let models = &loaded.config.models;
    let seen: Vec<_> = models.iter().map(|model| (model.name(), model.parallel, model.context)).collect();
    assert_eq!(seen, [("a".to_owned(), 4, 512), ("b".to_owned(), 2, 512)]);
    assert_eq!(loaded.source("models.0.parallel").to_string(), "environment variable GATEWAY_PARALLEL");
    assert_eq!(loaded.source("models.1.parallel"), Source::File(file.path().to_owned()));
}

#[test]
fn a_model_by_variable_replaces_the_list_of_the_file() {
    let file = file("[[models]]\npath = 'a.gguf'\nparallel = 2\n[[models]]\npath = 'b.gguf'\n");
    let environment = environment(&[("GATEWAY_MODEL", "/m/c.gguf")]);
    let loaded = Config::load(Some(file.path()), &environment, &Flags::default()).unwrap();
    assert_eq!(loaded.config.models.len(), 1);
    assert_eq!((loaded.config.models[0].name().as_str(), loaded.config.models[0].parallel), ("c", 8));
    assert_eq!(loaded.source("models.0.path").to_string(), "environment variable GATEWAY_MODEL");
}

#[test]
fn settings_without_a_model_are_kept_for_the_default_one() {
    let environment = environment(&[("GATEWAY_PARALLEL", "4")]);
    let loaded = Config::load(None, &environment, &Flags::default()).unwrap();
    assert!(loaded.config.models.is_empty());
    assert_eq!(loaded.config.model_defaults.parallel, 4);
    let printed = loaded.to_toml();
    assert!(printed.contains("parallel = 4  # environment variable GATEWAY_PARALLEL"), "{printed}");
    assert_eq!(load_file(&printed).unwrap().config, loaded.config);
    let error = Config::load(None, &Environment::default(), &flags(&[("parallel", "0")])).unwrap_err();
    assert_eq!(error.to_string(), "flag --parallel: model.parallel: must be from 1 to 256");
}

#[test]
fn errors_name_the_source_and_the_key() {
    let message = |text: &str| load_file(text).unwrap_err().to_string();
    for (text, expected) in [
        ("[server]\nmax_conections = 1", "server.max_conections: is not a key"),
        ("[server]\nmax_conections = 1", "did you mean `server.max_connections`?"),
        ("[serve]\nlisten = 'a:1'", "serve.listen: is not a key"),
        ("verbose = true", "verbose: is not a key"),
        ("[[models]]\npath = 'a'\nparalel = 1", "models.0.paralel: is not a key"),
        ("[server]\nmax_connections = 'many'", "server.max_connections: invalid type"),
        ("[server]\nmax_connections = -1", "server.max_connections: "),
        ("[server]\nmax_connections = 0", "server.max_connections: must be at least 1"),
        ("[server]\nheader_timeout = 'soon'", "server.header_timeout: invalid value"),
        ("[server]\nlisten = '8080'", "server.listen: `8080` is not an address"),
        ("[log]\nfilter = 'gateway=loud'", "log.filter: is no log filter"),
        ("[[models]]\nid = 'x'", "models.0.path: is missing"),
        (
            "[[models]]\npath = 'a'\nkv_type = 'q8_0'\nflash_attention = 'off'",
            "models.0.flash_attention: must not",
        ),
        (
            "[[models]]\npath = 'a.gguf'\n[[models]]\npath = 'b/a.gguf'",
            "models.1.id: two models are named `a`",
        ),
        ("[model]\npath = 'a'\n[[models]]\npath = 'b'", "model.path: give either"),
        ("models = [1]", "models.0: must be a table"),
        ("routes = [1]", "routes.0"),
        ("[[routes]]\nname = 'x'", "missing field `targets`"),
        ("[[routes]]\nname = 'x'\ntargets = [{ model = 'a', wight = 1 }]", "unknown field `wight`"),
        ("[[routes]]\nname = 'x'\ntargets = []", "routes.0.targets: must be from 1 to 64"),
        (
            "[[models]]\npath = 'a'\n[[routes]]\nname = 'x'\ntargets = [{ model = 'b' }]",
            "routes.0.targets: name the model `b`, which is not among [[models]]",
        ),
        (
            "[[routes]]\nname = 'x'\ntargets = [{ model = 'a' }]\n[[routes]]\nname = 'x'\ntargets = [{ model = 'a' }]",
            "routes.1.name: two routes are named `x`",
        ),
        ("server = 3", "server"),
        ("[server", "TOML parse error"),
    ] {
        let message = message(text);
        assert!(message.contains(expected), "{text:?} gave {message}");
        assert!(message.contains("file "), "{text:?} does not name the file: {message}");
    }
}

#[test]
fn a_bad_variable_or_flag_is_named() {
    let by_variable = Config::load(None, &environment(&[("GATEWAY_PARALLEL", "x")]), &Flags::default());
    let expected = "environment variable GATEWAY_PARALLEL: model.parallel: `x` is not a whole number";
    assert_eq!(by_variable.unwrap_err().to_string(), expected);
    let by_flag = Config::load(None, &Environment::default(), &flags(&[("listen", "nowhere")])).unwrap_err();
    assert!(by_flag.to_string().starts_with("flag --listen: server.listen: `nowhere` is not an address"));
    let missing = Config::load(Some(Path::new("/no/such.toml")), &Environment::default(), &Flags::default());
    assert!(missing.unwrap_err().to_string().starts_with("configuration file /no/such.toml: "));
}

#[test]
fn variables_that_are_no_option_are_told() {
    let environment = environment(&[("GATEWAY_LISTN", "a:1"), ("GATEWAY_LOG", "debug"), ("PATH", "/bin")]);
    let loaded = Config::load(None, &environment, &Flags::default()).unwrap();
    assert_eq!(loaded.unknown_variables, ["GATEWAY_LISTN"]);
}

#[test]
fn a_variable_s_value_may_be_in_a_file_and_the_variable_itself_wins() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, "redis://:secret@a\n").unwrap();
    let load = |variables: &[(&str, &str)]| {
        let environment =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Config::load(None, &environment, &Flags::new())
    };
    let in_file = ("GATEWAY_STORE_FILE", path.to_str().unwrap());
    let loaded = load(&[in_file]).unwrap();
    assert_eq!(loaded.config.shared_store(), Some("redis://:secret@a"));
    assert!(loaded.unknown_variables.is_empty());
    assert_eq!(load(&[in_file, ("GATEWAY_STORE", "embedded")]).unwrap().config.shared_store(), None);
    let error = load(&[("GATEWAY_STORE_FILE", "/nowhere")]).unwrap_err().to_string();
    assert!(error.contains("GATEWAY_STORE_FILE") && error.contains("/nowhere"), "{error}");
}

#[test]
fn a_store_that_is_none_is_refused() {
    let given = flags(&[("store", "mysql://a")]);
    let error = Config::load(None, &Environment::default(), &given).unwrap_err().to_string();
    assert!(error.contains("--store") && error.contains("redis://"), "{error}");
}

#[test]
fn a_model_may_be_another_server_s() {
    let loaded = load_file(
        "[[models]]\nurl = 'https://a/v1'\nupstream_model = 'b'\nkey_file = '/k'\nheaders = { x-a = 'hush' }\n\
         idle_timeout = '5s'\n[[models]]\nid = 'c'\npath = 'c.gguf'\n",
    )
    .unwrap();
    let [remote, local] = loaded.config.models.as_slice() else { panic!("two models") };
    assert_eq!((remote.name().as_str(), remote.upstream_name().as_str()), ("b", "b"));
    assert_eq!(remote.idle_timeout, Duration::from_secs(5));
    assert!(local.url.is_none());
    let printed = loaded.to_toml();
    assert!(printed.contains("x-a") && !printed.contains("hush"), "{printed}");
    // What says nothing of a model is not printed for it.
    assert_eq!(printed.matches("kv_type").count(), 1, "{printed}");
    assert_eq!(printed.matches("idle_timeout = \"5s\"").count(), 1, "{printed}");
    let by_flags =
        flags(&[("upstream-url", "unix:/run/a"), ("model-id", "a"), ("upstream-headers", "{ x-b = \"c\" }")]);
    let loaded = Config::load(None, &Environment::default(), &by_flags).unwrap();
    assert_eq!(loaded.config.models[0].headers, [("x-b", "c")].into());
    let no_table = flags(&[("upstream-headers", "x-b: c")]);
    let error = Config::load(None, &Environment::default(), &no_table).unwrap_err().to_string();
    assert!(error.starts_with("flag --upstream-headers: model.headers: is no table"), "{error}");
}

#[test]
fn what_is_wrong_with_a_server_s_entry_is_named() {
    for (text, expected) in [
        ("url = 'http://a'\nid = 'b'\npath = 'c'", "models.0.path: must not be given beside `url`"),
        ("url = 'a:80'\nid = 'b'", "models.0.url: must be http://HOST/v1"),
        ("url = 'http://me:x@a'\nid = 'b'", "models.0.url: must not hold a user or password"),
        ("url = 'http://a'", "models.0.id: is missing"),
        ("url = 'http://a'\nid = 'b'\nca_file = 'c'", "models.0.ca_file: is for `https://` only"),
        ("url = 'http://a'\nid = 'b'\nheaders = { \"a b\" = 'c' }", "models.0.headers: must be names"),
        ("url = 'http://a'\nid = 'b'\nidle_timeout = '0s'", "models.0.idle_timeout: must be longer"),
        ("url = 'http://a'\nid = 'b'\nhttp2 = 'maybe'", "models.0.http2"),
    ] {
        let message = load_file(&format!("[[models]]\n{text}")).unwrap_err().to_string();
        assert!(message.contains(expected), "{text:?} gave {message}");
    }
}

#[test]
fn what_is_printed_reads_back_as_the_same_configuration() {
    let given =
        flags(&[("model", "/m/a.gguf"), ("keep-alive", "1500ms"), ("threads", "3"), ("data-dir", "/d")]);
    let loaded = Config::load(None, &Environment::default(), &given).unwrap();
    let printed = loaded.to_toml();
    assert!(printed.contains("keep_alive = \"1500ms\"  # flag --keep-alive\n"), "{printed}");
    assert!(printed.contains("# batch_threads is not set\n"), "{printed}");
    let again = load_file(&printed).unwrap();
    assert_eq!(again.config, loaded.config);
    assert_eq!(again.config.server.keep_alive, Duration::from_millis(1500));
}

#[test]
fn routes_are_read_and_printed_whole() {
    let loaded = load_file(
        "[[routes]]\nname = 'x'\nsticky = 'subject'\nfallback = ['c']\nretries = 0\n\
         targets = [{ model = 'a', weight = 9 }, { model = 'b', cap = 3 }]\n\
         shadow = { model = 'c', percent = 5 }\n",
    )
    .unwrap();
    let route = &loaded.config.routes[0];
    let weights: Vec<_> = route.targets.iter().map(|target| (target.weight, target.cap)).collect();
    assert_eq!((weights, route.retries), (vec![(9, None), (1, Some(3))], 0));
    let printed = loaded.to_toml();
    assert!(printed.contains("[[routes]]  # file "), "{printed}");
    assert_eq!(load_file(&printed).unwrap().config.routes, loaded.config.routes);
}

#[test]
fn every_key_of_the_structs_is_an_option_and_every_option_a_key() {
    let whole = ModelConfig {
        id: Some("a".to_owned()),
        path: "a.gguf".into(),
        threads: Some(1),
        batch_threads: Some(1),
        kv_cells: Some(1),
        chat_template: Some("t".into()),
        adapters: vec![AdapterConfig { name: "a".to_owned(), path: "a.gguf".into(), scale: 0.5 }],
        url: Some("http://a/v1".to_owned()),
        upstream_model: Some("b".to_owned()),
        key_file: Some("k".into()),
        headers: [("x-a", "b")].into(),
        ca_file: Some("c".into()),
        ..ModelConfig::default()
    };
    let access = AccessConfig { issuers: Some("i.toml".into()), ..AccessConfig::default() };
    let policy = Some(OutagePolicy::Open);
    let limits = LimitsConfig {
        outage_requests: policy,
        outage_tokens: policy,
        outage_budget: policy,
        outage_concurrency: policy,
        ..LimitsConfig::default()
    };
    let conversations =
        ConversationsConfig { key_file: Some("key".into()), ..ConversationsConfig::default() };
    let telemetry = TelemetryConfig {
        exporter_url: Some("unix:e".to_owned()),
        exporter_secret_file: Some("secret".into()),
        instance: Some("a".to_owned()),
        ..TelemetryConfig::default()
    };
    let config = Config {
        models: vec![whole],
        telemetry,
        store_ca: Some("ca.pem".into()),
        limits,
        access,
        conversations,
        ..Config::default()
    };
    let Ok(Value::Table(table)) = Value::try_from(&config) else { panic!("the configuration is a table") };
    let mut keys = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(section) => keys.extend(section.keys().map(|leaf| format!("{key}.{leaf}"))),
            Value::Array(models) => {
                keys.extend(models[0].as_table().unwrap().keys().map(|leaf| format!("model.{leaf}")));
            }
            _ => keys.push(key),
        }
    }
    let mut options: Vec<_> = SETTINGS.iter().map(|setting| setting.key.to_owned()).collect();
    keys.sort();
    options.sort();
    keys.dedup();
    assert_eq!(keys, options);
}
