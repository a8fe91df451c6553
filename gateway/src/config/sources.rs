//! Where values come from: default < file < environment < flag, merged key by key with the source kept.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::ConfigError;
use super::options::{Kind, SETTINGS, Setting, by_key};

/// A variable of this ending names a file that holds the value: how containers are given secrets.
const IN_FILE: &str = "_FILE";

/// The source of one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Built in.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// A flag, without its dashes.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

/// The process's environment, taken once.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The real one. An empty variable counts as absent, so that `${X:-}` in a compose file means the default.
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// A variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

/// Flags that were given: option name → text.
pub type Flags = BTreeMap<&'static str, String>;

/// Values and their sources, by dotted key; entries of `[[models]]` are `models.0.parallel` and so on.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    values: Table,
    sources: BTreeMap<String, Source>,
}

impl Layers {
    /// Puts one table below what follows: its leaves replace those of the same key.
    pub(crate) fn add_table(&mut self, table: Table, source: &Source) {
        for (key, value) in leaves(table) {
            self.set(&key, value, source.clone());
        }
    }

    /// Puts one value on top.
    pub(crate) fn set(&mut self, key: &str, value: Value, source: Source) {
        if let Some((section, leaf)) = key.split_once('.') {
            let section = self.values.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(section) = section {
                section.insert(leaf.to_owned(), value);
            }
        } else {
            self.values.insert(key.to_owned(), value);
        }
        self.sources.insert(key.to_owned(), source);
    }

    /// Puts the environment's and then the flags' values on top.
    pub(crate) fn add_texts(&mut self, environment: &Environment, flags: &Flags) -> Result<(), ConfigError> {
        for setting in &SETTINGS {
            let variable = setting.variable();
            let in_file = format!("{variable}{IN_FILE}");
            if let Some(path) = environment.get(&in_file) {
                let text = read_secret(path, &in_file, setting)?;
                self.set_text(setting, &text, Source::Variable(in_file))?;
            }
            if let Some(text) = environment.get(&variable) {
                self.set_text(setting, text, Source::Variable(variable))?;
            }
            if let Some(text) = flags.get(setting.name) {
                self.set_text(setting, text, Source::Flag(setting.name.to_owned()))?;
            }
        }
        Ok(())
    }

    fn set_text(&mut self, setting: &Setting, text: &str, source: Source) -> Result<(), ConfigError> {
        let value = match setting.kind {
            Kind::Text => Value::String(text.to_owned()),
            Kind::Number => {
                let number = text.trim().parse().map_err(|_| ConfigError::Value {
                    source_of: source.clone(),
                    key: setting.key.to_owned(),
                    message: format!("`{text}` is not a whole number"),
                })?;
                Value::Integer(number)
            }
            Kind::Flag => {
                let flag = text.trim().parse().map_err(|_| ConfigError::Value {
                    source_of: source.clone(),
                    key: setting.key.to_owned(),
                    message: format!("`{text}` is neither true nor false"),
                })?;
                Value::Boolean(flag)
            }
            Kind::List => {
                let list = format!("list = {text}").parse::<Table>().ok();
                let list = list.and_then(|mut list| list.remove("list")).filter(Value::is_array);
                list.ok_or_else(|| ConfigError::Value {
                    source_of: source.clone(),
                    key: setting.key.to_owned(),
                    message: "is no list: write [{ name = \"value\" }]".to_owned(),
                })?
            }
            Kind::Table => {
                let table = format!("table = {text}").parse::<Table>().ok();
                let table = table.and_then(|mut table| table.remove("table")).filter(Value::is_table);
                table.ok_or_else(|| ConfigError::Value {
                    source_of: source.clone(),
                    key: setting.key.to_owned(),
                    message: "is no table: write { name = \"value\" }".to_owned(),
                })?
            }
        };
        self.set(setting.key, value, source);
        Ok(())
    }

    /// Where a key's value came from; a model entry's inherited key is answered by `model.`'s.
    pub(crate) fn source(&self, key: &str) -> Source {
        let inherited = || {
            let leaf = key.strip_prefix("models.")?.split_once('.')?.1;
            self.sources.get(&format!("model.{leaf}"))
        };
        // Routes are written whole.
        let of_routes = || key.starts_with("routes.").then(|| self.sources.get("routes")).flatten();
        self.sources.get(key).or_else(inherited).or_else(of_routes).cloned().unwrap_or(Source::Default)
    }

    /// The merged table in the shape of the configuration: entries of `[[models]]` have inherited `[model]`.
    pub(crate) fn resolve(&mut self) -> Result<Table, ConfigError> {
        let mut table = self.values.clone();
        let mut model = match table.remove("model") {
            Some(Value::Table(model)) => model,
            _ => Table::new(),
        };
        let entries = match table.remove("models") {
            Some(Value::Array(entries)) => entries,
            _ => Vec::new(),
        };
        let models = if let Some(place) = ["model.path", "model.url"].into_iter().find(|key| self.has(key)) {
            self.check_single_model(place, &entries)?;
            vec![Value::Table(std::mem::take(&mut model))]
        } else {
            self.inherit(&model, entries)?
        };
        if models.is_empty() {
            model.remove("id");
            table.insert("model".to_owned(), Value::Table(model));
        }
        table.insert("models".to_owned(), Value::Array(models));
        Ok(table)
    }

    fn has(&self, key: &str) -> bool {
        self.sources.contains_key(key)
    }

    /// One model by flag or variable replaces the file's list; both in the file contradict each other.
    fn check_single_model(&mut self, place: &str, entries: &[Value]) -> Result<(), ConfigError> {
        let source = self.source(place);
        if !entries.is_empty() && matches!(source, Source::File(_)) {
            return Err(ConfigError::Value {
                source_of: source,
                key: place.to_owned(),
                message: "give either a path or url in [model] or entries of [[models]], not both".to_owned(),
            });
        }
        self.sources.retain(|key, _| !key.starts_with("models."));
        Ok(())
    }

    fn inherit(&mut self, model: &Table, entries: Vec<Value>) -> Result<Vec<Value>, ConfigError> {
        let file = self.source("models");
        let mut merged = Vec::with_capacity(entries.len());
        for (index, entry) in entries.into_iter().enumerate() {
            let Value::Table(entry) = entry else {
                return Err(ConfigError::Value {
                    source_of: file,
                    key: format!("models.{index}"),
                    message: "must be a table: write [[models]]".to_owned(),
                });
            };
            for key in entry.keys() {
                self.sources.insert(format!("models.{index}.{key}"), file.clone());
            }
            let mut whole = model.clone();
            whole.remove("id");
            whole.extend(entry);
            merged.push(Value::Table(whole));
        }
        Ok(merged)
    }
}

/// What a file named by a variable holds, without the line's end.
fn read_secret(path: &str, variable: &str, setting: &Setting) -> Result<String, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Value {
        source_of: Source::Variable(variable.to_owned()),
        key: setting.key.to_owned(),
        message: format!("{path}: {error}"),
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// The leaves of a table of sections, by dotted key.
fn leaves(table: Table) -> Vec<(String, Value)> {
    let mut leaves = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(section) => {
                leaves.extend(section.into_iter().map(|(leaf, value)| (format!("{key}.{leaf}"), value)));
            }
            value => leaves.push((key, value)),
        }
    }
    leaves
}

/// Reads a configuration file and refuses keys that nothing reads.
pub(crate) fn read_file(path: &Path) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|cause| ConfigError::Unreadable { path: path.to_owned(), cause })?;
    let table: Table = toml::from_str(&text)
        .map_err(|cause| ConfigError::Syntax { path: path.to_owned(), cause: Box::new(cause) })?;
    for (key, value) in &table {
        if let Some(unknown) = unknown_key(key, value) {
            let hint = nearest(&unknown).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(ConfigError::Value {
                source_of: Source::File(path.to_owned()),
                key: unknown,
                message: format!(
                    "is not a key of the configuration{hint} (`gateway config print` lists all)"
                ),
            });
        }
    }
    Ok(table)
}

/// The first key under `key` that is none of ours.
fn unknown_key(key: &str, value: &Value) -> Option<String> {
    let unknown_in = |table: &Table, shown: &str, section: &str| {
        let unknown = table.keys().find(|leaf| by_key(&format!("{section}.{leaf}")).is_none())?;
        Some(format!("{shown}.{unknown}"))
    };
    match value {
        Value::Array(entries) if key == "models" => entries.iter().enumerate().find_map(|(index, entry)| {
            entry.as_table().and_then(|entry| unknown_in(entry, &format!("models.{index}"), "model"))
        }),
        // Their own type refuses what it does not know, at every depth.
        Value::Array(_) if key == "routes" => None,
        Value::Table(section) => match section.keys().next() {
            Some(_) => unknown_in(section, key, key),
            None => None,
        },
        _ if by_key(key).is_some() => None,
        _ => Some(key.to_owned()),
    }
}

/// The key most like a mistaken one, if any is much like it.
fn nearest(unknown: &str) -> Option<&'static str> {
    let leaf = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let likeness = |setting: &Setting| strsim::jaro_winkler(&leaf(setting.key), &leaf(unknown));
    let best = SETTINGS.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) > 0.85).then_some(best.key)
}

/// Variables that look like ours and are not: most likely typing errors, but an orchestrator may inject some
/// (`GATEWAY_SERVICE_HOST`), so they are told, not refused.
pub(crate) fn unknown_variables(environment: &Environment) -> Vec<String> {
    let known = |name: &String| {
        let name = name.strip_suffix(IN_FILE).unwrap_or(name);
        name == "GATEWAY_CONFIG" || SETTINGS.iter().any(|setting| setting.variable() == name)
    };
    environment.0.keys().filter(|name| name.starts_with("GATEWAY_") && !known(name)).cloned().collect()
}
