//! The floor of Redis: a script that does nothing.

use redis::{Script, aio::MultiplexedConnection};

use crate::suite::servers::redis_url;

/// A script that does nothing, called with three keys.
#[derive(Clone)]
pub(super) struct EmptyScript {
    script: Script,
    connection: MultiplexedConnection,
}

impl EmptyScript {
    pub(super) async fn connect() -> Self {
        let client = redis::Client::open(redis_url()).expect("the URL is one");
        let connection = client.get_multiplexed_async_connection().await;
        let connection = connection.expect("Redis was started");
        Self { script: Script::new("return 1"), connection }
    }

    pub(super) async fn call(mut self, key: usize) {
        let mut call = self.script.prepare_invoke();
        for part in ["counter", "strikes", "ban"] {
            call.key(format!("floor:{key}:{part}"));
        }
        let one: redis::RedisResult<i64> = call.invoke_async(&mut self.connection).await;
        assert_eq!(one, Ok(1));
    }
}
