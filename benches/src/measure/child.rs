//! This program once more, in another role, so that what it costs is not the measuring one's.
//!
//! A program starts itself again as `ROLE ADDRESS`, and the two talk in lines of JSON over a TCP connection to there.

use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::net::Ipv4Addr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

/// The process that does what it is told. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Child<Order, Answer> {
    /// Kept for its end.
    _process: tokio::process::Child,
    orders: OwnedWriteHalf,
    answers: Lines<BufReader<OwnedReadHalf>>,
    _talk: PhantomData<fn(Order) -> Answer>,
}

impl<Order: Serialize, Answer: DeserializeOwned> Child<Order, Answer> {
    /// Starts this program again; it has to come to [`obey`] then.
    pub(super) async fn start(role: &str) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let mut process = Command::new(std::env::current_exe()?)
            .arg(role)
            .arg(listener.local_addr()?.to_string())
            .kill_on_drop(true)
            .spawn()?;
        let connection = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            _ = process.wait() => return Err(io::ErrorKind::BrokenPipe.into()),
        };
        connection.set_nodelay(true)?;
        let (answers, orders) = connection.into_split();
        let answers = BufReader::new(answers).lines();
        Ok(Self { _process: process, orders, answers, _talk: PhantomData })
    }

    /// Tells it to do something, and waits for what it answers.
    pub(super) async fn ask(&mut self, order: Order) -> io::Result<Answer> {
        let line = serde_json::to_string(&order)? + "\n";
        self.orders.write_all(line.as_bytes()).await?;
        let answer = self.answers.next_line().await?.ok_or(io::ErrorKind::BrokenPipe)?;
        let answer: Result<Answer, String> = serde_json::from_str(&answer)?;
        answer.map_err(io::Error::other)
    }
}

/// What this process is told by whoever started it, until that is over. Blocks; one thread does all.
pub(super) fn obey<D: Do>(address: &str, mut role: D) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let connection = TcpStream::connect(address).await?;
        connection.set_nodelay(true)?;
        let (orders, mut answers) = connection.into_split();
        let mut orders = BufReader::new(orders).lines();
        while let Some(line) = orders.next_line().await? {
            let done = role.obey(serde_json::from_str(&line)?).await;
            let answer = done.map_err(|error| error.to_string());
            answers.write_all((serde_json::to_string(&answer)? + "\n").as_bytes()).await?;
        }
        Ok(())
    })
}

/// A role: what is done about an order.
pub(super) trait Do {
    type Order: DeserializeOwned;
    type Answer: Serialize;

    fn obey(
        &mut self,
        order: Self::Order,
    ) -> impl Future<Output = Result<Self::Answer, Box<dyn std::error::Error>>>;
}
