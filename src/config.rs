//! The configuration: one TOML file, then the environment (`TESSERA__QUERY__DEPTH=100`), read once at start. An image may bring a file of its own,
//! over which the other is laid.
//!
//! Each part documents its own keys; here they are composed. An unknown key is an error that names it. Secrets are not
//! among the keys: `secrets` reads them.

mod secrets;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use query::http::HttpConfig;
use query::http::auth::AuthConfig;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::{memory, metrics, traces};

/// Read when no file is named.
const DEFAULT_FILE: &str = "tessera.toml";
/// Names a file of values that hold where neither the other file nor the environment says otherwise, as an image brings one.
const DEFAULTS_VARIABLE: &str = "TESSERA_DEFAULTS";
/// Begins the variables that override keys; parts are separated by two underscores.
const PREFIX: &str = "TESSERA__";

/// All that can be configured.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Folder of the index and of everything else that is kept; `.tessera`.
    pub(crate) data_dir: PathBuf,
    /// Bytes that the process may allocate; 1 GiB, at least 256 MiB. Divided among the parts, see [`memory`].
    pub(crate) memory_bytes: u64,
    /// What is written to the log.
    pub(crate) log: Log,
    /// Machine-learning models.
    pub(crate) models: Models,
    /// The stored index.
    pub(crate) index: Index,
    /// The write side. Its `data_dir` is the one above.
    pub(crate) indexer: indexer::config::Config,
    /// The stream that is read.
    pub(crate) kafka: indexer::kafka::config::Config,
    /// The database that is read.
    pub(crate) postgres: indexer::postgres::config::Config,
    /// The read side.
    pub(crate) query: query::config::Config,
    /// The HTTP API.
    pub(crate) http: Http,
    /// Where counters are read.
    pub(crate) metrics: metrics::Config,
    /// Where traces are sent.
    pub(crate) traces: traces::Config,
    /// Who may ask.
    pub(crate) auth: Auth,
    /// Who did what.
    pub(crate) audit: query::audit::AuditConfig,
    /// What is erased on request.
    pub(crate) erasure: query::erasure::ErasureConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from(".tessera"),
            memory_bytes: memory::BYTES_DEFAULT,
            log: Log::default(),
            models: Models::default(),
            index: Index::default(),
            indexer: indexer::config::Config::default(),
            kafka: indexer::kafka::config::Config::default(),
            postgres: indexer::postgres::config::Config::default(),
            query: query::config::Config::default(),
            http: Http::default(),
            metrics: metrics::Config::default(),
            traces: traces::Config::default(),
            auth: Auth::default(),
            audit: query::audit::AuditConfig::default(),
            erasure: query::erasure::ErasureConfig::default(),
        }
    }
}

/// What is written to the log, on standard error.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// Which events, as `info` or `warn,indexer=debug`; `info`.
    pub(crate) filter: String,
    /// One JSON object a line instead of text; false.
    pub(crate) json: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".to_owned(), json: false }
    }
}

/// Machine-learning models.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Models {
    /// Whether to search by meaning too; true. Without it, or when the model cannot be loaded, words alone are searched.
    pub(crate) enabled: bool,
    /// The model and the thread that runs it.
    pub(crate) embed: models::embed::Config,
    /// Language models.
    pub(crate) generate: models::generate::Config,
}

impl Default for Models {
    fn default() -> Self {
        Self { enabled: true, embed: models::embed::Config::default(), generate: models::generate::Config::default() }
    }
}

/// The stored index.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Index {
    /// Bytes that the writer may gather before it writes a segment; a share of `memory_bytes`, at least 15 MiB.
    pub(crate) writer_memory_bytes: usize,
    /// Bytes of stored text kept unpacked, over all segments; a share of `memory_bytes`.
    pub(crate) store_cache_bytes: usize,
}

impl Default for Index {
    fn default() -> Self {
        let index::Config { writer_memory_bytes, store_cache_bytes, .. } = index::Config::default();
        Self { writer_memory_bytes, store_cache_bytes }
    }
}

/// The HTTP API.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Http {
    /// Where to listen; `127.0.0.1:8080`.
    pub(crate) listen: SocketAddr,
    /// The `evaluation.json` of the latest evaluation, whose means operators are shown; empty for none.
    pub(crate) evaluation_file: PathBuf,
    /// Its limits.
    #[serde(flatten)]
    pub(crate) limits: HttpConfig,
}

impl Default for Http {
    fn default() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 8080));
        Self { listen, evaluation_file: PathBuf::new(), limits: HttpConfig::default() }
    }
}

/// Who may ask.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Auth {
    /// File with the public key of RS256 tokens, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) jwt_rs256_public_key: Option<PathBuf>,
    /// File with the public key of EdDSA tokens, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) jwt_eddsa_public_key: Option<PathBuf>,
    /// File of the service keys that `tessera keys` makes; `keys.json` in the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) keys_file: Option<PathBuf>,
    /// Tokens and service keys.
    #[serde(flatten)]
    pub(crate) identities: AuthConfig,
}

impl Config {
    /// Reads the file, over that of the image where this is one, then the environment, and checks every value.
    pub(crate) fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        let written = match std::fs::read_to_string(path) {
            Ok(text) => text.parse::<Table>().with_context(|| format!("{} is not TOML", path.display()))?,
            Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => Table::new(),
            Err(error) => {
                let way_out = if file.is_some() {
                    "name a file that this user may read in `--config`"
                } else {
                    "let this user read it"
                };
                return Err(error).with_context(|| format!("cannot read {}: {way_out}", path.display()));
            }
        };
        let mut table = defaults()?;
        lay_over(&mut table, written);
        let variables = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        for (name, value) in variables {
            let Some(key) = name.strip_prefix(PREFIX) else { continue };
            let Ok(value) = value.into_string() else { bail!("the variable {name} is not UTF-8") };
            set(&mut table, &key.to_lowercase(), &value).with_context(|| format!("cannot use the variable {name}"))?;
        }
        let config = Self::of(&table)?;
        config.check()?;
        Ok(config)
    }

    pub(crate) fn of(table: &Table) -> anyhow::Result<Self> {
        let mut all = table.clone();
        memory::share_out(&mut all)?;
        // Flattened parts cannot refuse unknown keys themselves: what is written out again is what was understood.
        let config: Self = Value::Table(all).try_into().map_err(|error: toml::de::Error| match meant(table) {
            Some(hint) => anyhow::Error::new(error).context(hint),
            None => error.into(),
        })?;
        let understood = Table::try_from(&config)?;
        for section in ["http", "auth"] {
            let Some(Value::Table(given)) = table.get(section) else { continue };
            let known = understood.get(section).and_then(Value::as_table);
            let optional = ["jwt_rs256_public_key", "jwt_eddsa_public_key", "keys_file"];
            let is_unknown = |key: &&String| {
                !known.is_some_and(|known| known.contains_key(*key)) && !optional.contains(&key.as_str())
            };
            if let Some(key) = given.keys().find(is_unknown) {
                let hint = meant(table).map(|hint| format!("; {hint}")).unwrap_or_default();
                bail!("unknown key `{key}` in [{section}]{hint}");
            }
        }
        Ok(config)
    }

    pub(crate) fn check(&self) -> anyhow::Result<()> {
        self.indexer.check()?;
        self.kafka.check()?;
        self.postgres.check()?;
        self.query.check()?;
        self.metrics.check()?;
        self.traces.check()?;
        self.audit.check()?;
        self.erasure.check()?;
        self.models.generate.check()?;
        if let Some(wrong) = self.http.limits.wrong() {
            bail!("http configuration: {wrong}");
        }
        if self.index.writer_memory_bytes < 15 << 20 {
            bail!("index configuration: `writer_memory_bytes` must be at least 15 MiB");
        }
        memory::check(self)
    }
}

/// The values of the image that this runs in; none elsewhere.
fn defaults() -> anyhow::Result<Table> {
    let Some(path) = std::env::var_os(DEFAULTS_VARIABLE).filter(|path| !path.is_empty()) else {
        return Ok(Table::new());
    };
    let path = Path::new(&path);
    let named = || format!("{}, which {DEFAULTS_VARIABLE} names", path.display());
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", named()))?;
    text.parse().with_context(|| format!("{} is not TOML", named()))
}

/// Lays a table over another: key by key in sections, and whole otherwise.
fn lay_over(under: &mut Table, over: Table) {
    for (key, value) in over {
        let value = match (under.remove(&key), value) {
            (Some(Value::Table(mut under)), Value::Table(over)) => {
                lay_over(&mut under, over);
                Value::Table(under)
            }
            (_, value) => value,
        };
        under.insert(key, value);
    }
}

/// One of each section that there may be several of, for its keys.
const ENTRIES: &str = r#"
    [[models.generate.endpoints]]
    name = "a"
    base_url = "http://a/v1"
    model = "a"
    [[auth.service_keys]]
    name = "a"
    hash = "a"
    scopes = []
"#;

/// A configuration with every key that there is, those included that are not set unless somebody does.
fn every_key() -> Option<Table> {
    let mut config: Config = ENTRIES.parse::<Table>().ok()?.try_into().ok()?;
    let auth = &mut config.auth;
    for file in [&mut auth.jwt_rs256_public_key, &mut auth.jwt_eddsa_public_key, &mut auth.keys_file] {
        *file = Some(PathBuf::from("a"));
    }
    Table::try_from(config).ok()
}

/// Of the first key that there is not and that is much like one that there is: that one.
fn meant(given: &Table) -> Option<String> {
    /// Below this, two words are not one word and a slip of the finger.
    const SIMILAR_MIN: f64 = 0.8;
    fn look(given: &Table, known: &Table, path: &str) -> Option<String> {
        for (key, value) in given {
            let path = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            let inside = match (value, known.get(key)) {
                (Value::Table(given), Some(Value::Table(known))) => look(given, known, &path(key)),
                (Value::Array(given), Some(Value::Array(known))) => {
                    let known = known.first().and_then(Value::as_table);
                    known.and_then(|known| {
                        given.iter().filter_map(Value::as_table).find_map(|given| look(given, known, &path(key)))
                    })
                }
                (_, Some(_)) => None,
                (_, None) => {
                    let likeness = |known: &&String| strsim::jaro_winkler(known, key);
                    let nearest = known.keys().max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
                    // Where any key may stand, as among the properties of Kafka's client, none is meant.
                    let nearest = nearest.filter(|nearest| likeness(nearest) >= SIMILAR_MIN);
                    nearest.map(|nearest| format!("is `{}` meant where it says `{}`?", path(nearest), path(key)))
                }
            };
            if inside.is_some() {
                return inside;
            }
        }
        None
    }
    look(given, &every_key()?, "")
}

/// Sets a key given as `section__key` to a value: as TOML if it is, as text otherwise.
fn set(table: &mut Table, key: &str, value: &str) -> anyhow::Result<()> {
    let mut parts: Vec<&str> = key.split("__").collect();
    let Some(last) = parts.pop() else { bail!("it names no key") };
    let mut section = table;
    for part in parts {
        let entry = section.entry(part).or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(inner) = entry else { bail!("`{part}` is a value, not a section") };
        section = inner;
    }
    let parsed = format!("value = {value}").parse::<Table>().ok().and_then(|mut parsed| parsed.remove("value"));
    section.insert(last.to_owned(), parsed.unwrap_or_else(|| Value::String(value.to_owned())));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_file_is_the_defaults() {
        let example = include_str!("../config.example.toml").parse::<Table>().unwrap();
        let example = Config::of(&example).unwrap();
        let defaults = Config::of(&Table::new()).unwrap();
        assert_eq!(toml::to_string(&example).unwrap(), toml::to_string(&defaults).unwrap());
        example.check().unwrap();
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let endpoint =
            "[[models.generate.endpoints]]\nname = \"a\"\nbase_url = \"http://a\"\nmodel = \"m\"\nkey = \"sk\"";
        for text in [endpoint, "[query]\ndepht = 3", "[http]\nlistten = \"x\"", "[auth]\nsecret = \"x\"", "porrt = 1"] {
            let error = Config::of(&text.parse().unwrap()).unwrap_err();
            assert!(format!("{error:#}").contains("unknown"), "{error:#}");
        }
        for (text, meant) in [
            ("[query]\ndepht = 3", "`query.depth`"),
            ("[http]\nlistten = \"x\"", "`http.listen`"),
            ("[http.rate]\ncaller_per_sec = 3", "`http.rate.caller_per_second`"),
            ("memory_byte = 1", "`memory_bytes`"),
            (endpoint.replace("key =", "key_enw =").as_str(), "`models.generate.endpoints.key_env`"),
            ("[[auth.service_keys]]\nname = \"a\"\nhahs = \"a\"", "`auth.service_keys.hash`"),
            // What is set there and is no default is no slip, and no key of others ends the search.
            ("[auth]\nkeys_file = \"keys.json\"\n[query]\ndepht = 3", "`query.depth`"),
            ("[kafka.properties]\n\"client.id\" = \"a\"\n[query]\ndepht = 3", "`query.depth`"),
        ] {
            let error = format!("{:#}", Config::of(&text.parse().unwrap()).unwrap_err());
            assert!(error.contains(meant), "{error}");
        }
        let far = format!("{:#}", Config::of(&"[query]\nzzz = 3".parse().unwrap()).unwrap_err());
        assert!(!far.contains("meant"), "{far}");
        let whole = every_key().unwrap();
        assert!(
            whole["auth"]["keys_file"].is_str() && whole["models"]["generate"]["endpoints"][0].is_table(),
            "{whole}"
        );
    }

    #[test]
    fn numbers_of_the_api_that_cannot_hold_are_told() {
        for (text, key) in [
            ("[http]\nin_flight_max = 9223372036854775807", "`in_flight_max`"),
            ("[http]\ningest_timeout_ms = 90000", "`ingest_timeout_ms`"),
            ("[http.rate]\nbuckets_max = 0", "`rate.buckets_max`"),
        ] {
            let error = Config::of(&text.parse().unwrap()).unwrap().check().unwrap_err().to_string();
            assert!(error.starts_with("http configuration: ") && error.contains(key), "{error}");
        }
    }

    #[test]
    fn endpoints_are_shown_without_their_keys() {
        let text = "[[models.generate.endpoints]]\nname = \"a\"\nbase_url = \"http://a/v1\"\nmodel = \"m\"\nkey_env = \"PATH\"";
        let config = Config::of(&text.parse().unwrap()).unwrap();
        config.check().unwrap();
        let keys = config.model_keys();
        assert_eq!(keys.len(), 1, "PATH is always set");
        assert!(config.endpoints_without_key().is_empty());
        let keyless = Config::of(&text.replace("PATH", "TESSERA_NO_SUCH_KEY").parse().unwrap()).unwrap();
        assert_eq!(keyless.endpoints_without_key()[0].name, "a");
        let shown = toml::to_string(&config).unwrap() + &format!("{keys:?}{config:?}");
        assert!(shown.contains("key_env = \"PATH\""));
        assert!(!shown.contains(std::env::var_os("PATH").unwrap().to_str().unwrap()));
        let again = Config::of(&toml::to_string(&config).unwrap().parse().unwrap()).unwrap();
        assert_eq!(again.models.generate, config.models.generate);
    }

    #[test]
    fn a_file_is_laid_over_that_of_an_image_key_by_key() {
        let table = |text: &str| text.parse::<Table>().unwrap();
        let mut laid =
            table("data_dir = \"/data\"\nhttp.listen = \"0.0.0.0:80\"\nhttp.cors_origins = [\"a\"]\nlog.json = true");
        lay_over(&mut laid, table("http.listen = \"127.0.0.1:90\"\nhttp.cors_origins = []\nquery.depth = 3"));
        let both = "http.listen = \"127.0.0.1:90\"\nhttp.cors_origins = []\nlog.json = true\nquery.depth = 3";
        assert_eq!(laid, table(&format!("data_dir = \"/data\"\n{both}")));
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let mut table = "[query]\ndepth = 100".parse::<Table>().unwrap();
        set(&mut table, "query__depth", "300").unwrap();
        set(&mut table, "http__listen", "127.0.0.1:9000").unwrap();
        set(&mut table, "auth__insecure_development", "true").unwrap();
        let config = Config::of(&table).unwrap();
        assert_eq!((config.query.depth, config.http.listen.port()), (300, 9000));
        assert!(config.auth.identities.insecure_development);
    }
}
