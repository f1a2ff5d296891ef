//! A dialog: two actors hit balls to and fro over one stream, and the one who serves ends it.
//!
//! `greenroom run pingpong.wasm --allow spawn rounds=3`

use greenroom_guest::prelude::*;

/// What the partner serves.
#[module]
pub mod partner {
    use greenroom_guest::prelude::*;

    /// Hits every ball back until no more come, and gives how many there were.
    #[context]
    pub async fn play(mut ctx: Context<String, String, String>) -> Result<u32, RemoteActorError> {
        // The caller has its context only now, and this greeting with it.
        ctx.started(format!("`{}` is ready", current_actor().id.name))?;
        let mut stream = ctx.open_stream()?;
        let mut returned = 0;
        while let Some(ball) = stream.receive().await? {
            stream.send(super::hit_back(&ball)).await?;
            returned += 1;
        }
        Ok(returned)
    }
}

/// The answer to a ball.
fn hit_back(ball: &str) -> String {
    ball.replace("ping", "pong")
}

/// Plays so many rounds (default 3) with a partner, and gives the rally.
#[greenroom_guest::main]
async fn main(rounds: Option<u32>) -> Result<String, Fault> {
    let rounds = rounds.unwrap_or(3);
    let nursery = Nursery::open();
    let partner = nursery.start_actor("partner", [partner::MODULE]).await?;

    let dialog = partner.open_context(partner::play {});
    let (mut rally, returned) = dialog
        .scope(async |ctx, greeting| {
            let mut rally = vec![greeting];
            let mut stream = ctx.open_stream()?;
            for round in 1..=rounds {
                let ball = format!("ping {round}");
                stream.send(ball.clone()).await?;
                // If the partner leaves early, its result tells why.
                let Some(answer) = stream.receive().await? else { break };
                rally.push(format!("{ball}, {answer}"));
            }
            // With the stream, this direction ends, and so does the partner's loop. The end of the
            // scope waits for the partner's result.
            Ok::<_, Fault>(rally)
        })
        .await?;

    partner.cancel_actor().await?;
    rally.push(format!("{} balls came back", returned.unwrap_or_default()));
    Ok(rally.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_is_answered_by_a_pong() {
        assert_eq!(hit_back("ping 7"), "pong 7");
    }
}
