//! ONNX Runtime, loaded once for each process.
//!
//! The runtime allows one library and one environment in a process, for ever. Loading through here, before any other call of
//! it, turns a missing or unfit library into an error; left to itself it would panic on first use.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;

use super::EmbedError;

/// The library in use and its environment; `None` until the first successful load.
static LOADED: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

/// Loads the library at `path`, or returns the environment of the same library loaded before.
///
/// # Errors
///
/// [`EmbedError::LibraryMissing`], [`EmbedError::LibraryRejected`], or [`EmbedError::LibraryConflict`] where another library
/// was loaded first. After an error of the first two kinds another path may be tried.
pub fn environment(path: &Path) -> Result<Environment, EmbedError> {
    // A path that is not absolute would be looked for beside the executable.
    let Ok(path) = path.canonicalize() else {
        return Err(EmbedError::LibraryMissing { path: path.to_owned() });
    };
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((loaded_path, environment)) = &*loaded {
        if *loaded_path != path {
            return Err(EmbedError::LibraryConflict { path, loaded: loaded_path.clone() });
        }
        return Ok(environment.clone());
    }
    let rejected = |source| EmbedError::LibraryRejected { path: path.clone(), source };
    let environment = ort::init_from(&path)
        .map_err(|error| rejected(error.into()))?
        .with_name("tessera")
        .with_telemetry(false)
        .with_logger(Arc::new(forward_log))
        .build()
        .map_err(|error| rejected(error.into()))?;
    environment.set_log_level(LogLevel::Warning);
    *loaded = Some((path.clone(), environment.clone()));
    Ok(environment)
}

/// Passes what the runtime logs on to our log; it names graph nodes and never holds input.
fn forward_log(level: LogLevel, _category: &str, _id: &str, code_location: &str, message: &str) {
    match level {
        LogLevel::Error | LogLevel::Fatal => tracing::error!(code_location, message, "ONNX Runtime"),
        LogLevel::Warning => tracing::warn!(code_location, message, "ONNX Runtime"),
        LogLevel::Info | LogLevel::Verbose => tracing::debug!(code_location, message, "ONNX Runtime"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // No unit test loads a real library, so none of these can meet one loaded before.

    #[test]
    fn missing_library_is_an_error_that_names_the_path_and_the_script() {
        let error = environment(Path::new("no/such/libonnxruntime.so")).unwrap_err();
        assert!(matches!(error, EmbedError::LibraryMissing { .. }));
        let message = error.to_string();
        assert!(message.contains("no/such/libonnxruntime.so"), "{message}");
        assert!(message.contains("scripts/fetch-models.sh"), "{message}");
    }

    #[test]
    fn file_that_is_no_library_is_an_error_and_no_panic() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = environment(file.path()).unwrap_err();
        assert!(matches!(error, EmbedError::LibraryRejected { .. }), "{error}");
    }
}
