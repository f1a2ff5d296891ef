//! `greenroom top`: who is there, refreshing.
//!
//! Owns: the screen, its keys, and processor use between two looks. Must not know: how actors are
//! collected. Invariant: however it ends, the terminal is as it was.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::Duration;

use greenroom::{Machine, harmless_line};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Cell, Paragraph, Row as Shown, Table, TableState};
use ratatui::{DefaultTerminal, Frame};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::actors::{Row, TITLES, Tree, percent, trees};
use crate::error::CliError;
use crate::live;
use crate::prepare::host_failed;
use crate::signals::{Signals, status};

/// How many keys may wait.
const KEYS: usize = 16;

/// Show the live actors on the whole terminal, refreshing
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Keys:
  q, Esc, Ctrl-C   leave               up, down   move
  n name  t tree   u uptime  a tasks   m memory   c processor: sort; once more to turn it round

Processor use is that since the last look, in percent of one processor.")]
pub(crate) struct TopArgs {
    /// Only the tree of this name, or of the published actor of this name
    #[arg(long, value_name = "NAME")]
    tree: Option<String>,

    /// How often it looks
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "1s")]
    every: Duration,
}

/// What the rows are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Name,
    Tree,
    Uptime,
    Tasks,
    Memory,
    Load,
}

/// Which key of the keyboard sorts by what, and in which column that stands.
const KEYBOARD: &[(char, Key, usize)] = &[
    ('n', Key::Name, 0),
    ('t', Key::Tree, 1),
    ('u', Key::Uptime, 3),
    ('a', Key::Tasks, 4),
    ('m', Key::Memory, 5),
    ('c', Key::Load, 6),
];

/// What is on the screen.
#[derive(Debug)]
struct View {
    rows: Vec<Row>,
    trees: usize,
    trouble: Option<String>,
    key: Key,
    turned: bool,
    table: TableState,
    /// Processor time of each actor at the last look, by uuid.
    before: HashMap<String, (Instant, u64)>,
}

pub(crate) fn top(args: &TopArgs) -> Result<(), CliError> {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(CliError::input("top needs a terminal").hint("`greenroom ps` lists the same once"));
    }
    let machine = live::machine()?;
    let runtime = live::runtime()?;
    let ended = runtime.block_on(async {
        let mut signals = Signals::listen().map_err(host_failed)?;
        // A panic restores the terminal too: this sets a hook for that.
        let terminal = Screen(ratatui::try_init().map_err(host_failed)?);
        tokio::select! {
            done = watch(&machine, args, terminal) => done.map(|()| None),
            kind = signals.next() => Ok(Some(kind)),
        }
    })?;
    // The thread that waits for keys is not waited for.
    runtime.shutdown_background();
    match ended {
        None => Ok(()),
        Some(kind) => Err(CliError::ended(status(kind), "interrupted")),
    }
}

/// The terminal, which is given back when this is dropped.
struct Screen(DefaultTerminal);

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

async fn watch(machine: &Machine, args: &TopArgs, mut terminal: Screen) -> Result<(), CliError> {
    let mut keys = keys()?;
    // Without a pause between looks there would be nothing to compare.
    let mut ticks = interval(args.every.max(Duration::from_millis(100)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut view = View {
        rows: Vec::new(),
        trees: 0,
        trouble: None,
        key: Key::Name,
        turned: false,
        table: TableState::default(),
        before: HashMap::new(),
    };
    loop {
        tokio::select! {
            event = keys.recv() => match event {
                Some(Event::Key(key)) if key.kind != KeyEventKind::Release => {
                    if view.press(key) {
                        return Ok(());
                    }
                }
                Some(_) => {}
                // The terminal is gone.
                None => return Ok(()),
            },
            _ = ticks.tick() => match trees(machine, args.tree.as_deref()).await {
                Ok(found) => view.look(&found),
                Err(error) => view.trouble = Some(error.message().to_owned()),
            },
        }
        terminal.0.draw(|frame| view.draw(frame)).map_err(host_failed)?;
    }
}

/// The keys that are pressed, read by a thread that can wait for them.
fn keys() -> Result<mpsc::Receiver<Event>, CliError> {
    let (events, keys) = mpsc::channel(KEYS);
    let read = move || {
        while let Ok(event) = event::read() {
            if events.blocking_send(event).is_err() {
                break;
            }
        }
    };
    std::thread::Builder::new().name("keys".to_owned()).spawn(read).map_err(host_failed)?;
    Ok(keys)
}

impl View {
    /// Takes in how all actors are now.
    fn look(&mut self, found: &[Tree]) {
        let now = Instant::now();
        let mut seen = HashMap::new();
        self.rows.clear();
        for tree in found {
            let Tree::Told(status) = tree else {
                self.rows.extend(tree.rows());
                continue;
            };
            for actor in &status.actors {
                let load = actor.cpu_ms.and_then(|used| {
                    let last = self.before.get(&actor.id.uuid).copied();
                    seen.insert(actor.id.uuid.clone(), (now, used));
                    let (then, before) = last?;
                    let passed = u64::try_from(now.duration_since(then).as_millis()).ok()?;
                    percent(used.saturating_sub(before), passed)
                });
                self.rows.push(Row::of(&status.tree, actor, load));
            }
        }
        self.before = seen;
        self.trees = found.len();
        self.trouble = found.iter().find_map(|tree| match tree {
            Tree::Silent(_, error) => Some(format!("the host of `{}` does not answer: {error}", tree.name())),
            Tree::Told(_) => None,
        });
        self.sort();
    }

    /// Does what a key says; true if that is to leave.
    fn press(&mut self, key: KeyEvent) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return true,
            KeyCode::Char('q') | KeyCode::Esc => return true,
            KeyCode::Down => self.table.select_next(),
            KeyCode::Up => self.table.select_previous(),
            KeyCode::Char(c) => {
                if let Some((_, key, _)) = KEYBOARD.iter().find(|(known, ..)| *known == c) {
                    self.turned = self.key == *key && !self.turned;
                    self.key = *key;
                    self.sort();
                }
            }
            _ => {}
        }
        false
    }

    /// Names from a to z, amounts from the largest down; or the other way round.
    fn sort(&mut self) {
        let key = self.key;
        self.rows.sort_by(|a, b| {
            let order = match key {
                Key::Name => a.name.cmp(&b.name),
                Key::Tree => a.tree.cmp(&b.tree),
                Key::Uptime => b.uptime.cmp(&a.uptime),
                Key::Tasks => b.tasks.cmp(&a.tasks),
                Key::Memory => b.memory.cmp(&a.memory),
                Key::Load => b.load.unwrap_or(-1.0).total_cmp(&a.load.unwrap_or(-1.0)),
            };
            order.then_with(|| (&a.tree, &a.name, a.pid).cmp(&(&b.tree, &b.name, b.pid)))
        });
        if self.turned {
            self.rows.reverse();
        }
    }

    fn draw(&mut self, frame: &mut Frame<'_>) {
        let areas = Layout::vertical([Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)]);
        let [head, body, foot] = areas.areas::<3>(frame.area());
        let title = format!("greenroom top: {} actors in {} trees", self.rows.len(), self.trees);
        frame.render_widget(Paragraph::new(Line::styled(title, Modifier::BOLD)), head);
        self.draw_table(frame, body);
        let said = match &self.trouble {
            Some(trouble) => harmless_line(trouble).into_owned(),
            None => "q leave  n t u a m c sort  up down move".to_owned(),
        };
        frame.render_widget(Paragraph::new(Line::styled(said, Modifier::DIM)), foot);
    }

    fn draw_table(&mut self, frame: &mut Frame<'_>, area: Rect) {
        let sorted = KEYBOARD.iter().find(|(_, key, _)| *key == self.key).map(|(.., column)| *column);
        let title = |(number, title): (usize, &&str)| {
            let style = match sorted {
                Some(column) if column == number => Modifier::BOLD | Modifier::UNDERLINED,
                _ => Modifier::BOLD,
            };
            cell((*title).to_owned(), number).style(Style::new().add_modifier(style))
        };
        let header = Shown::new(TITLES.iter().enumerate().map(title));
        let rows = self.rows.iter().map(|row| {
            Shown::new(row.cells().into_iter().enumerate().map(|(number, text)| cell(text, number)))
        });
        let widths = [
            Constraint::Fill(3),
            Constraint::Fill(2),
            Constraint::Length(8),
            Constraint::Length(8),
            Constraint::Length(6),
            Constraint::Length(9),
            Constraint::Length(7),
        ];
        let table = Table::new(rows, widths).header(header).column_spacing(2);
        let table = table.row_highlight_style(Modifier::REVERSED);
        frame.render_stateful_widget(table, area, &mut self.table);
    }
}

/// Names to the left, numbers to the right.
fn cell(text: String, column: usize) -> Cell<'static> {
    let text = Text::from(text);
    Cell::from(if column < 2 { text } else { text.right_aligned() })
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn row(name: &str, memory: u64, load: Option<f64>) -> Row {
        Row {
            uuid: name.to_owned(),
            name: name.to_owned(),
            tree: "app".to_owned(),
            pid: 7,
            uptime: Some(Duration::from_secs(61)),
            tasks: Some(2),
            memory: Some(memory),
            load,
        }
    }

    fn view() -> View {
        View {
            rows: vec![row("b", 1 << 20, None), row("a", 3 << 20, Some(12.5)), row("c", 2 << 20, Some(50.0))],
            trees: 1,
            trouble: None,
            key: Key::Name,
            turned: false,
            table: TableState::default(),
            before: HashMap::new(),
        }
    }

    fn names(view: &View) -> String {
        view.rows.iter().map(|row| row.name.as_str()).collect()
    }

    fn press(view: &mut View, c: char) -> bool {
        view.press(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE))
    }

    #[test]
    fn keys_sort_and_leave() {
        let mut view = view();
        for (key, order) in [('n', "cba"), ('n', "abc"), ('m', "acb"), ('m', "bca"), ('c', "cab")] {
            assert!(!press(&mut view, key));
            assert_eq!(names(&view), order, "{key}");
        }
        assert!(press(&mut view, 'q'));
        assert!(view.press(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
    }

    #[test]
    fn the_screen_shows_every_actor() {
        let mut terminal = Terminal::new(TestBackend::new(80, 8)).expect("in memory");
        let mut view = view();
        view.sort();
        terminal.draw(|frame| view.draw(frame)).expect("in memory");
        let buffer = terminal.backend().buffer();
        let text: String = buffer.content().iter().map(|cell| cell.symbol()).collect();
        for part in ["3 actors in 1 trees", "NAME", "12.5%", "3.0 MiB", "1m 1s", "q leave"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
