//! The effective configuration as TOML, each line with where its value came from.

use toml::{Table, Value};

use super::Loaded;
use super::options::SETTINGS;
use super::upstream;

/// Writes the configuration so that it can be read back as a file. Optional keys without a value are comments.
pub(super) fn to_toml(loaded: &Loaded) -> String {
    let Ok(Value::Table(config)) = Value::try_from(&loaded.config) else {
        return String::new();
    };
    let mut out = String::new();
    write_keys(&mut out, loaded, &config, "", "");
    // What models have in common shows in each of them; without any, it is how the default model runs.
    let sections: &[&str] = if loaded.config.models.is_empty() {
        &["server", "access", "limits", "conversations", "telemetry", "log", "model"]
    } else {
        &["server", "access", "limits", "conversations", "telemetry", "log"]
    };
    for &section in sections {
        if let Some(Value::Table(table)) = config.get(section) {
            out.push_str("\n[");
            out.push_str(section);
            out.push_str("]\n");
            write_keys(&mut out, loaded, table, section, section);
        }
    }
    if let Some(Value::Array(models)) = config.get("models") {
        for (index, model) in models.iter().enumerate() {
            out.push_str("\n[[models]]\n");
            let Value::Table(model) = model else { continue };
            write_keys(&mut out, loaded, model, "model", &format!("models.{index}"));
        }
    }
    write_routes(&mut out, loaded);
    out
}

/// Routes as they are read; those of the admin API are in the store.
fn write_routes(out: &mut String, loaded: &Loaded) {
    for route in &loaded.config.routes {
        out.extend(["\n[[routes]]  # ", &loaded.source("routes").to_string(), "\n"]);
        let Ok(Value::Table(keys)) = Value::try_from(route) else { continue };
        for (key, value) in keys {
            out.extend([&key, " = ", &value.to_string(), "\n"]);
        }
    }
}

/// The keys of one section in the order of the options; `shown` is the prefix of the sources' keys.
fn write_keys(out: &mut String, loaded: &Loaded, table: &Table, section: &str, shown: &str) {
    for setting in &SETTINGS {
        let (setting_section, leaf) = setting.key.split_once('.').unwrap_or(("", setting.key));
        let elsewhere = table.contains_key("url");
        if setting_section != section || (section == "model" && !upstream::concerns(leaf, elsewhere)) {
            continue;
        }
        let key = if shown.is_empty() { leaf.to_owned() } else { format!("{shown}.{leaf}") };
        let line = match table.get(leaf) {
            Some(value) => format!("{leaf} = {}  # {}\n", without_password(value), loaded.source(&key)),
            None => format!("# {leaf} is not set\n"),
        };
        out.push_str(&line);
    }
}

/// A URL's user and password are not for a page that people paste into tickets.
fn without_password(value: &Value) -> String {
    let text = value.to_string();
    match (text.find("://"), text.rfind('@')) {
        (Some(start), Some(end)) if start < end => {
            format!("{}://***{}", text.get(..start).unwrap_or_default(), text.get(end..).unwrap_or_default())
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_urls_password_is_not_shown() {
        let shown = |url: &str| without_password(&Value::String(url.to_owned()));
        assert_eq!(shown("redis://me:secret@host:6379"), "\"redis://***@host:6379\"");
        assert_eq!(shown("redis://host:6379"), "\"redis://host:6379\"");
    }
}
