//! A broker that goes away, fails, or no longer has what is asked for.

use super::*;

#[test]
fn a_lost_connection_and_failing_requests_lose_nothing() {
    let broker = Broker::new(1);
    let site = Site::new();
    let mut product = Source::new("w", "eu");
    broker.send(0, &[product.page("home", "Home", None)]);
    let engine = site.open();
    let stream = broker.read_into(&engine);
    until("the first is committed", || committed(&engine) == 1);
    broker.cluster.broker_down(1).unwrap();
    until("it is noticed", || !stream.status().connected);
    broker.cluster.broker_up(1).unwrap();
    let errors = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION; 2];
    broker.cluster.request_errors(RDKafkaApiKey::Fetch, &errors);
    broker.send(0, &[product.block("home", "b", "after the break")]);
    until("the second is committed", || committed(&engine) == 2);
    until("it is connected again", || stream.status().connected);
}

#[test]
fn offsets_that_the_broker_does_not_have_are_noticed_and_all_it_has_is_read() {
    for answers in [true, false] {
        let site = Site::new();
        let mut product = Source::new("w", "eu");
        let events: Vec<_> = (0..5).map(|n| product.block("home", &format!("b{n}"), "text")).collect();
        let engine = site.open();
        {
            let broker = Broker::new(1);
            broker.send(0, &events);
            let _stream = broker.read_into(&engine);
            until("all is committed", || committed(&engine) == 5);
        }
        // The same topic made anew, as after a disaster.
        let broker = Broker::new(1);
        broker.send(0, &[product.block("home", "b9", "text")]);
        if !answers {
            // Nor does the broker say what it has when the partition is taken in.
            let errors = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED; 1_000];
            broker.cluster.request_errors(RDKafkaApiKey::ListOffsets, &errors);
        }
        let stream = broker.read_into(&engine);
        until("it reads", || !stream.status().partitions.is_empty());
        broker.cluster.clear_request_errors(RDKafkaApiKey::ListOffsets);
        until("the new event is merged", || engine.status().accepted_total == 6);
        assert_eq!(stream.status().gaps_total, 1);
        until("the new offset is committed", || committed(&engine) == 1);
    }
}

/// The client read on where the partition began by then, and nobody was told.
#[test]
fn events_that_the_broker_drops_while_it_is_read_are_noticed_and_what_it_has_is_read() {
    let broker = Broker::new(2);
    let site = Site::new();
    let engine = site.open();
    let mut products = ["w0", "w1"].map(|workspace| Source::new(workspace, "eu"));
    for (partition, product) in products.iter_mut().enumerate() {
        broker.send(partition as i32, &[product.page("home", "Home", None)]);
    }
    let stream = broker.read_into(&engine);
    until("both are committed", || committed(&engine) == 2);
    let errors = vec![RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION; 10_000];
    broker.cluster.request_errors(RDKafkaApiKey::Fetch, &errors);
    // The mock keeps 5 MiB of a partition.
    for _ in 0..24 {
        broker.write(0, Some("w0"), &vec![b'x'; 500_000], None);
        broker.producer.flush(PATIENCE).unwrap();
    }
    for (partition, product) in products.iter_mut().enumerate() {
        broker.send(partition as i32, &[product.block("home", "b", "after the gap")]);
    }
    broker.cluster.clear_request_errors(RDKafkaApiKey::Fetch);
    for product in &products {
        until("what comes after is merged", || {
            let record = engine.page_record(&product.workspace, &page("home")).unwrap();
            format!("{record:?}").contains("after the gap")
        });
    }
    until("all is committed", || committed(&engine) == 26 + 2);
    assert_eq!(stream.status().gaps_total, 1);
    let letters = site.dead_letters().len();
    assert!((1..24).contains(&letters), "{letters} of 24 were there");
}
