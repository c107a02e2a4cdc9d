//! The configuration: one structure, four sources, in rising order: built-in, file, environment, flags.
//!
//! In → Out: `nearcast.toml`, `NEARCAST_*` variables and flags → one checked [`Config`], or a message that names the place.
//! Every key of the file is also a variable: its path in capitals, so `[broadcast] reconnect_window` is
//! `NEARCAST_BROADCAST_RECONNECT_WINDOW`. Unknown keys are refused.
//! Spec: TOML 1.0.

mod diagnose;
mod schema;
mod stages;
mod units;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use toml::{Table, Value};

pub(crate) use schema::{Config, Listen, Log, LogFormat};

/// What the name of every environment variable begins with.
const ENV_PREFIX: &str = "NEARCAST_";

/// A setting from the command line: where it belongs in the file, and its value.
pub(crate) type Flag = (&'static str, Value);

/// Where a configuration comes from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// The file named by the user; without one, `nearcast.toml` in the working directory is read if it is there.
    pub(crate) file: Option<PathBuf>,
    /// The process's environment, as pairs.
    pub(crate) env: Vec<(String, String)>,
    /// What flags said.
    pub(crate) flags: Vec<Flag>,
}

impl Sources {
    /// Reads and joins all sources. Called again on SIGHUP.
    pub(crate) fn load(&self) -> anyhow::Result<Config> {
        let file = match &self.file {
            Some(path) => Some((path.clone(), read(path)?)),
            None => Some(PathBuf::from("nearcast.toml"))
                .filter(|path| path.is_file())
                .map(|path| read(&path).map(|text| (path, text)))
                .transpose()?,
        };
        let config = join(
            file.as_ref()
                .map(|(path, text)| (path.as_path(), text.as_str())),
            &self.env,
            &self.flags,
        )?;
        config.check()?;
        Ok(config)
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path)
        .with_context(|| format!("the configuration file {} cannot be read", path.display()))
}

/// Default < file < environment < flags.
fn join(
    file: Option<(&Path, &str)>,
    env: &[(String, String)],
    flags: &[Flag],
) -> anyhow::Result<Config> {
    let mut values =
        Table::try_from(Config::default()).context("the built-in configuration is not TOML")?;
    let keys = leaves(&values);
    if let Some((path, text)) = file {
        // Typed first: only this pass knows which line is wrong.
        toml::from_str::<Config>(text)
            .map_err(|error| anyhow::anyhow!("{}", diagnose::explain(path, text, &error)))?;
        merge(
            &mut values,
            text.parse::<Table>()
                .context("the file was TOML a moment ago")?,
        );
    }
    for (name, text) in env.iter().filter(|(name, _)| name.starts_with(ENV_PREFIX)) {
        apply_variable(&mut values, &keys, name, text)?;
    }
    for (path, value) in flags {
        set(&mut values, path, value.clone());
    }
    values.try_into().context("the configuration is wrong")
}

/// Sets one key from an environment variable and checks the result, so that an error names the variable.
fn apply_variable(
    values: &mut Table,
    keys: &[(String, Value)],
    name: &str,
    text: &str,
) -> anyhow::Result<()> {
    let Some((path, default)) = keys.iter().find(|(path, _)| variable_of(path) == name) else {
        let known: Vec<String> = keys.iter().map(|(path, _)| variable_of(path)).collect();
        let near = diagnose::nearest(name, known.iter().map(String::as_str));
        tracing::warn!(
            variable = name,
            did_you_mean = near,
            "an environment variable with our prefix has no meaning"
        );
        return Ok(());
    };
    let value = match default {
        Value::Boolean(_) => text.parse().map(Value::Boolean).ok(),
        Value::Integer(_) => text.parse().map(Value::Integer).ok(),
        _ => Some(Value::String(text.to_owned())),
    };
    let value = value.with_context(|| {
        format!(
            "environment variable {name}: `{text}` is not a {}",
            default.type_str()
        )
    })?;
    set(values, path, value);
    let checked: Result<Config, _> = values.clone().try_into();
    checked
        .map(drop)
        .with_context(|| format!("environment variable {name}"))
}

fn variable_of(path: &str) -> String {
    format!(
        "{ENV_PREFIX}{}",
        path.replace('.', "_").to_ascii_uppercase()
    )
}

/// All keys with their dotted path and value.
fn leaves(table: &Table) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => found.extend(
                leaves(inner)
                    .into_iter()
                    .map(|(path, value)| (format!("{key}.{path}"), value)),
            ),
            value => found.push((key.clone(), value.clone())),
        }
    }
    found
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(value)) => merge(inner, value),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

fn set(table: &mut Table, path: &str, value: Value) {
    match path.split_once('.') {
        None => drop(table.insert(path.to_owned(), value)),
        Some((key, rest)) => {
            if let Value::Table(inner) = table
                .entry(key)
                .or_insert_with(|| Value::Table(Table::new()))
            {
                set(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(text: &str, env: &[(&str, &str)], flags: &[Flag]) -> anyhow::Result<Config> {
        let env: Vec<_> = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        join(Some((Path::new("nearcast.toml"), text)), &env, flags)
    }

    #[test]
    fn the_file_in_the_repository_is_complete_and_equals_the_defaults() {
        let text = include_str!("../../../../nearcast.toml");
        let config: Config = toml::from_str(text).unwrap_or_else(|error| {
            panic!(
                "{}",
                diagnose::explain(Path::new("nearcast.toml"), text, &error)
            )
        });
        assert_eq!(config, Config::default());
        let in_file: Vec<String> = leaves(&text.parse().unwrap())
            .into_iter()
            .map(|(path, _)| path)
            .collect();
        let built_in: Vec<String> = leaves(&Table::try_from(Config::default()).unwrap())
            .into_iter()
            .map(|(path, _)| path)
            .collect();
        let missing: Vec<_> = built_in
            .iter()
            .filter(|path| !in_file.contains(path))
            .collect();
        assert!(
            missing.is_empty(),
            "nearcast.toml does not mention {missing:?}"
        );
    }

    #[test]
    fn every_key_of_the_file_is_explained_by_a_comment() {
        let text = include_str!("../../../../nearcast.toml");
        let mut comment = false;
        for line in text.lines() {
            if line.contains(" = ") && !line.starts_with('#') {
                assert!(
                    comment || line.contains(" # "),
                    "no comment above or beside: {line}"
                );
            }
            comment = line.starts_with('#') || (comment && !line.is_empty());
        }
    }

    #[test]
    fn flags_beat_the_environment_which_beats_the_file_which_beats_the_defaults() {
        let file = "http = \"127.0.0.1:1\"\nrtmp = \"127.0.0.1:1\"\n[broadcast]\nreconnect_window = \"5s\"\n";
        let env = [
            ("NEARCAST_HTTP", "127.0.0.1:2"),
            ("NEARCAST_BROADCAST_RECONNECT_WINDOW", "6s"),
        ];
        let config = joined(
            file,
            &env,
            &[("http", Value::String("127.0.0.1:3".to_owned()))],
        )
        .unwrap();
        assert_eq!(config.http.to_string(), "127.0.0.1:3");
        assert_eq!(config.rtmp.to_string(), "127.0.0.1:1");
        assert_eq!(config.broadcast.reconnect_window, units::Time::secs(6));
        assert_eq!(config.data, Config::default().data);
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_the_nearest_name() {
        let error = joined(
            "dev = false\n\n[broadcast]\nreconect_window = \"5s\"\n",
            &[],
            &[],
        )
        .unwrap_err()
        .to_string();
        assert!(
            error.starts_with("nearcast.toml:4:1: unknown field `reconect_window`"),
            "{error}"
        );
        assert!(
            error.contains("4 | reconect_window = \"5s\"\n  | ^"),
            "{error}"
        );
        assert!(
            error.ends_with("help: did you mean `reconnect_window`?"),
            "{error}"
        );
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_refused_with_its_line() {
        let error = joined("dev = false\nhttp = \"8080\"\n", &[], &[])
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("nearcast.toml:2:8: "), "{error}");
        assert!(error.contains("0.0.0.0:8080"), "{error}");
    }

    #[test]
    fn a_wrong_environment_variable_is_named() {
        let error = format!(
            "{:#}",
            joined("", &[("NEARCAST_BROADCAST_RECONNECT_WINDOW", "soon")], &[]).unwrap_err()
        );
        assert!(
            error.contains("NEARCAST_BROADCAST_RECONNECT_WINDOW") && error.contains("soon"),
            "{error}"
        );
        let error = format!(
            "{:#}",
            joined("", &[("NEARCAST_DEV", "perhaps")], &[]).unwrap_err()
        );
        assert!(
            error.contains("NEARCAST_DEV") && error.contains("boolean"),
            "{error}"
        );
    }

    #[test]
    fn https_without_a_certificate_is_refused() {
        let config = joined("https = \"127.0.0.1:8443\"", &[], &[]).unwrap();
        assert!(config.check().unwrap_err().to_string().contains("tls_cert"));
    }
}
