//! Against software that is not ours: an emulator of OpenAI's service, and the server of llama.cpp with a model of random weights.
//!
//! `scripts/test-services.sh` starts them and says in variables where they are; without those the tests say that they are skipped.

use models::generate::{Outcome, StopReason};

use super::*;

/// An endpoint at the address that a variable holds.
fn at(variable: &str) -> Option<EndpointConfig> {
    let Some(base_url) = std::env::var_os(variable) else {
        eprintln!("SKIPPED: {variable} is not set; run make test-services");
        return None;
    };
    let base_url = base_url.into_string().unwrap();
    Some(toml::from_str(&format!("name = \"first\"\nbase_url = \"{base_url}\"\nmodel = \"any\"")).unwrap())
}

#[tokio::test]
async fn services_the_emulator_streams_a_text_and_what_it_took() {
    let Some(mut first) = at("TESSERA_TEST_OPENAI") else { return };
    first.key_env = "KEY".to_owned();
    let bench = Bench::new(config(vec![first.clone()]));
    let (text, end) = bench.text().await.unwrap();
    assert_eq!(text, "The key is under the third stone. Ask Ada if it is not there.");
    assert_eq!(end.reason, StopReason::Complete);
    assert!(end.usage.prompt_tokens > 0 && end.usage.completion_tokens > 0, "{end:?}");

    first.key_env = String::new();
    let error = Bench::new(config(vec![first])).ask().await.err().unwrap();
    assert!(matches!(&error, GenerateError::Refused(told) if told.contains("401")), "{error}");
}

/// The emulator turns away, breaks off and garbles a good part of the requests at random. Every one ends in the whole text,
/// begun by it or by the fallback, or in an error after a part of it; and each request has its line.
#[tokio::test]
async fn services_a_chaotic_emulator_ends_in_a_text_or_an_error() {
    let (Some(first), Some(mut second)) = (at("TESSERA_TEST_OPENAI_CHAOS"), at("TESSERA_TEST_OPENAI")) else { return };
    (second.name, second.weight, second.key_env) = ("second".to_owned(), 0, "KEY".to_owned());
    let bench = Bench::new(config(vec![first, second]));
    let whole = "The key is under the third stone. Ask Ada if it is not there.";
    for _ in 0..100 {
        let (text, end) = read(bench.ask().await.unwrap()).await;
        match end {
            Ok(_) => assert_eq!(text, whole),
            Err(error) => {
                assert!(matches!(error, GenerateError::Interrupted(_)), "{error}");
                assert!(!text.is_empty() && whole.starts_with(&text), "{text}");
            }
        }
        // Whatever it asked to be left alone for is over.
        bench.clock.set_forward(Duration::from_hours(1));
    }
    let mut outcomes: HashMap<String, usize> = HashMap::new();
    for call in bench.calls() {
        *outcomes.entry(format!("{} {:?}", call.endpoint, call.outcome)).or_default() += 1;
    }
    eprintln!("{outcomes:?}");
    for outcome in ["first Complete", "first Busy", "first Unavailable", "second Complete"] {
        assert!(outcomes.contains_key(outcome), "{outcome}: {outcomes:?}");
    }
}

#[tokio::test]
async fn services_a_real_inference_server_is_understood() {
    let Some(first) = at("TESSERA_TEST_LLAMA") else { return };
    let bench = Bench::new(config(vec![first]));
    let mut lengths = 0;
    for _ in 0..10 {
        let mut request = request();
        request.tokens_max = 12;
        let (_, end) = read(bench.providers.generate(request).await.unwrap()).await;
        let (_, end) = end.unwrap();
        let usage = end.usage;
        assert!(usage.prompt_tokens > 40 && (1..=12).contains(&usage.completion_tokens), "as it tells: {usage:?}");
        lengths += usize::from(end.reason == StopReason::Length);
    }
    assert!(lengths > 0, "random words end seldom");

    let mut request = request();
    request.messages[1].text = "word ".repeat(400);
    let error = bench.providers.generate(request).await.err().unwrap();
    assert!(
        matches!(&error, GenerateError::Refused(told) if told.contains("exceed_context_size_error")),
        "its own bound, which is tighter than ours: {error}"
    );

    // One that goes away in the middle frees its place at the server: more of them than it has.
    for _ in 0..8 {
        let mut request = request_of(200);
        request.deadline = Instant::now() + Duration::from_secs(30);
        drop(bench.providers.generate(request).await.unwrap());
    }
    read(bench.ask().await.unwrap()).await.1.unwrap();
    let dropped = bench.calls().iter().filter(|call| call.outcome == Outcome::Dropped).count();
    assert!(dropped >= 1, "some may have been complete by then");
}

fn request_of(tokens_max: u32) -> Request {
    Request { tokens_max, ..request() }
}
