//! Many jobs at once.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::Result;

/// Jobs at once: enough to keep both cores busy, and few enough for the queue of a listener.
const AT_ONCE: usize = 64;

/// Does so many jobs, some of them at once, and gives what each gave in the order of their ends.
pub async fn each<T: 'static, F: Future<Output = Result<T>> + 'static>(
    number: usize,
    job: impl Fn(usize) -> F,
) -> Result<Vec<T>> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut jobs = JoinSet::new();
    let mut done = Vec::with_capacity(number);
    for i in 0..number {
        let place = Arc::clone(&places).acquire_owned().await?;
        let job = job(i);
        jobs.spawn_local(async move {
            let _place = place;
            job.await
        });
        while let Some(result) = jobs.try_join_next() {
            done.push(result??);
        }
    }
    while let Some(result) = jobs.join_next().await {
        done.push(result??);
    }
    Ok(done)
}
