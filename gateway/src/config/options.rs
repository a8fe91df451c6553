//! The table of options: each has one name, as flag, variable and key of the file.

use toml::Value;

use super::{
    AccessConfig, ConversationsConfig, LimitsConfig, LogConfig, ModelConfig, ServerConfig, TelemetryConfig,
};

/// What a flag's or variable's text stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text, a word of a list, a path or a duration.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Flag,
    /// A TOML table on one line: `{ name = "value" }`.
    Table,
    /// A TOML array on one line: `[…]`.
    List,
}

/// One option.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The flag without its dashes: `max-connections`.
    pub name: &'static str,
    /// The key in the file: `server.max_connections`. Keys of `model.` are what `[[models]]` entries inherit.
    pub key: &'static str,
    /// What its text stands for.
    pub kind: Kind,
    /// The value's name in the help.
    pub value: &'static str,
    /// One line for the help.
    pub help: &'static str,
}

impl Setting {
    /// The environment variable: `GATEWAY_MAX_CONNECTIONS`.
    pub fn variable(&self) -> String {
        format!("GATEWAY_{}", self.name.replace('-', "_").to_uppercase())
    }
}

impl Setting {
    /// The built-in value, where there is one.
    pub fn default_value(&self) -> Option<String> {
        if self.key == "data_dir" {
            return Some("$XDG_DATA_HOME/sluice or ~/.local/share/sluice".to_owned());
        }
        if self.key == "store" {
            return Some(super::EMBEDDED.to_owned());
        }
        if self.key == "memory_budget_mib" {
            return Some("0".to_owned());
        }
        let (section, leaf) = self.key.split_once('.')?;
        let section = match section {
            "server" => Value::try_from(ServerConfig::default()),
            "access" => Value::try_from(AccessConfig::default()),
            "limits" => Value::try_from(LimitsConfig::default()),
            "conversations" => Value::try_from(ConversationsConfig::default()),
            "telemetry" => Value::try_from(TelemetryConfig::default()),
            "log" => Value::try_from(LogConfig::default()),
            _ => Value::try_from(ModelConfig::default()),
        };
        match section.ok()?.get(leaf)? {
            Value::String(text) if text.is_empty() => None,
            Value::String(text) => Some(text.clone()),
            value => Some(value.to_string()),
        }
    }
}

/// The option of a key.
pub fn by_key(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

const fn text(name: &'static str, key: &'static str, value: &'static str, help: &'static str) -> Setting {
    Setting { name, key, kind: Kind::Text, value, help }
}

const fn number(name: &'static str, key: &'static str, help: &'static str) -> Setting {
    Setting { name, key, kind: Kind::Number, value: "N", help }
}

/// Every option there is.
pub static SETTINGS: [Setting; 75] = [
    text("data-dir", "data_dir", "DIR", "Folder of models, keys and state"),
    text(
        "store",
        "store",
        "STORE",
        "Where access, limits and conversations are kept: embedded, or redis://HOST:PORT",
    ),
    text("store-ca", "store_ca", "FILE", "PEM file of authorities that a Redis behind TLS is trusted by"),
    number(
        "memory-budget-mib",
        "memory_budget_mib",
        "Memory of all local models together in MiB; 0: no bound",
    ),
    text("listen", "server.listen", "ADDRESS", "Where to listen: host:port (port 0: any) or unix:PATH"),
    number(
        "worker-threads",
        "server.worker_threads",
        "Threads of the async runtime; few, beside the compute threads",
    ),
    number("max-connections", "server.max_connections", "Connections held at once"),
    number("max-body-bytes", "server.max_body_bytes", "Longest request body"),
    number("max-headers", "server.max_headers", "Most header fields of a request"),
    number("max-header-bytes", "server.max_header_bytes", "Longest request head"),
    text("header-timeout", "server.header_timeout", "TIME", "How long a request head may take"),
    text("body-timeout", "server.body_timeout", "TIME", "How long a request body may make no progress"),
    text(
        "idle-timeout",
        "server.idle_timeout",
        "TIME",
        "How long a connection may wait for its next request",
    ),
    text("write-timeout", "server.write_timeout", "TIME", "How long a client may take no byte of its answer"),
    text("keep-alive", "server.keep_alive", "TIME", "How often a silent stream sends a comment"),
    text("drain-timeout", "server.drain_timeout", "TIME", "How long running streams may go on after SIGTERM"),
    text("token-issuer", "access.token_issuer", "NAME", "The claims iss and aud of our own tokens"),
    text("issuers", "access.issuers", "FILE", "TOML file of [[issuers]]: OIDC issuers to accept"),
    number("failed-logins", "access.failed_logins", "Failed logins a minute and address; 0: not counted"),
    text("outage", "limits.outage", "POLICY", "While Redis is away: open, closed or share"),
    text("outage-requests", "limits.outage_requests", "POLICY", "The same, for requests a minute alone"),
    text("outage-tokens", "limits.outage_tokens", "POLICY", "The same, for tokens a minute alone"),
    text("outage-budget", "limits.outage_budget", "POLICY", "The same, for tokens a day alone"),
    text("outage-concurrency", "limits.outage_concurrency", "POLICY", "The same, for requests at once alone"),
    text(
        "keep-conversations",
        "conversations.keep_for",
        "TIME",
        "How long conversations and responses are kept after their last use",
    ),
    number("conversation-items", "conversations.max_items", "Items of one conversation at most"),
    text(
        "partial-answers",
        "conversations.partial",
        "WHAT",
        "Answers whose client leaves in the middle: keep (marked incomplete) or drop",
    ),
    text("conversation-key", "conversations.key_file", "FILE", "Key that contents are sealed with"),
    text(
        "exporter-url",
        "telemetry.exporter_url",
        "URL",
        "Exporter to push metrics to: http://HOST:PORT or unix:PATH",
    ),
    text(
        "exporter-secret",
        "telemetry.exporter_secret_file",
        "FILE",
        "File with the secret that the exporter asks for",
    ),
    text(
        "instance",
        "telemetry.instance",
        "NAME",
        "Name of this gateway among its like; the machine's and the port, if not said",
    ),
    text("push-interval", "telemetry.push_interval", "TIME", "Between two pushes of all metrics"),
    text("records", "telemetry.records", "WHETHER", "Request records go to the exporter too: on or off"),
    text(
        "record-levels",
        "telemetry.record_levels",
        "LEVELS",
        "Share of records kept from so many requests a second on: 100:0.5,1000:0.1",
    ),
    text(
        "slow-request",
        "telemetry.slow_request",
        "TIME",
        "From so long on a request's record is always kept",
    ),
    text("log", "log.filter", "FILTER", "Log levels, as `info` or `info,gateway=debug`"),
    text(
        "log-format",
        "log.format",
        "FORMAT",
        "Log lines: auto (human on a terminal, else json), human, json",
    ),
    text("model", "model.path", "GGUF", "Model file; the file's [[models]] serve several"),
    text("model-id", "model.id", "NAME", "Name clients use (default: the file's name)"),
    number("parallel", "model.parallel", "Sequences computed at once"),
    number("context", "model.context", "Window of a sequence in tokens; 0: the model's own, up to 4096"),
    number("threads", "model.threads", "Compute threads for decoding (default: the cores)"),
    number("batch-threads", "model.batch_threads", "Compute threads for prefill (default: as --threads)"),
    number("gpu-layers", "model.gpu_layers", "Layers computed on the GPU"),
    text("kv-type", "model.kv_type", "TYPE", "KV cache cells: f16, q8_0, q4_0, f32, bf16"),
    text("kv-layout", "model.kv_layout", "LAYOUT", "KV cache: split (a part each) or unified (one pool)"),
    number("kv-cells", "model.kv_cells", "Cells of a unified KV cache, all sequences together"),
    text("flash-attention", "model.flash_attention", "MODE", "auto, on or off"),
    number("batch", "model.batch", "Most tokens in one decode step"),
    number("prefill-chunk", "model.prefill_chunk", "Most prefill tokens a step while others decode"),
    text(
        "speculation",
        "model.speculation",
        "HOW",
        "Tokens computed ahead: lookup (what was said before) or off",
    ),
    number("draft-max", "model.draft_max", "Most tokens a sequence computes ahead in a step"),
    number("prefix-cache-mib", "model.prefix_cache_mib", "Memory for kept prefixes in MiB; 0 keeps none"),
    number("spill-mib", "model.spill_mib", "Disk for kept prefixes in MiB, prompts included; 0 writes none"),
    text("spill-after", "model.spill_after", "TIME", "How long a kept prefix is idle before it goes to disk"),
    number("queue", "model.queue", "Requests that may wait"),
    text("share-prefix", "model.share_prefix", "SCOPE", "Who shares computed prefixes: tenant, all, none"),
    text("chat-template", "model.chat_template", "FILE", "Jinja chat template instead of the model's own"),
    text("slow-reader-timeout", "model.slow_reader_timeout", "TIME", "How long a stream may take no event"),
    text(
        "isolation",
        "model.isolation",
        "HOW",
        "Which process the model runs in: none (this one), or process (its own)",
    ),
    text("load", "model.load", "WHEN", "When the model is loaded: start, or on-demand (the first request)"),
    Setting {
        name: "pin",
        key: "model.pin",
        kind: Kind::Flag,
        value: "true|false",
        help: "Whether the model stays in memory when others need room",
    },
    text("idle-unload", "model.idle_unload", "TIME", "Unused for so long, it is unloaded; 0: never"),
    text("load-wait", "model.load_wait", "TIME", "How long a request waits for the model to be loaded"),
    Setting {
        name: "adapters",
        key: "model.adapters",
        kind: Kind::List,
        value: "LIST",
        help: "LoRA adapters, each served as model:name: [{ name = \"a\", path = \"a.gguf\" }]",
    },
    text(
        "upstream-url",
        "model.url",
        "URL",
        "Server that has the model, instead of a file: http(s)://HOST/v1 or unix:PATH",
    ),
    text(
        "upstream-model",
        "model.upstream_model",
        "NAME",
        "The server's name of the model (default: as --model-id)",
    ),
    text("upstream-key", "model.key_file", "FILE", "File with the key that the server asks for"),
    Setting {
        name: "upstream-headers",
        key: "model.headers",
        kind: Kind::Table,
        value: "TABLE",
        help: "More header fields of requests to the server: { name = \"value\" }",
    },
    text("upstream-ca", "model.ca_file", "FILE", "PEM file of authorities that the server is trusted by"),
    text(
        "upstream-http2",
        "model.http2",
        "WHEN",
        "HTTP/2 to the server: auto (as TLS agrees), always, never",
    ),
    text(
        "upstream-connect-timeout",
        "model.connect_timeout",
        "TIME",
        "How long connecting to the server may take",
    ),
    text(
        "upstream-first-byte-timeout",
        "model.first_byte_timeout",
        "TIME",
        "How long a stream's first byte may take",
    ),
    text(
        "upstream-idle-timeout",
        "model.idle_timeout",
        "TIME",
        "How long the server may be silent in a stream",
    ),
    text(
        "upstream-total-timeout",
        "model.total_timeout",
        "TIME",
        "How long the server may take for an answer",
    ),
];
