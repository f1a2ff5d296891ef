//! Which tests must fail without which protection.
//!
//! Owns: the table. Must not know: how it is tried. Invariant: every protection has a row, which
//! the compiler checks; one without tests fails the job.

use std::time::Duration;

use greenroom_sabotage::Protection;

/// How long a test is waited for that hangs without its protection.
pub(super) const HANGING: Duration = Duration::from_secs(8);

/// Where a test is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Program {
    /// In the end-to-end suite.
    EndToEnd,
    /// Beside the code, in the library of this name.
    Unit(&'static str),
}

/// A test that notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Test {
    pub(super) program: Program,
    /// Its whole name, as its program lists it.
    pub(super) name: &'static str,
    /// Whether it may notice by never coming to an end.
    pub(super) hangs: bool,
    /// Whether only root can make what it looks at.
    pub(super) root: bool,
    /// What else keeps the same promise: it is off all along, and the test passes all the same.
    pub(super) besides: &'static [Protection],
}

impl Test {
    const fn of(program: Program, name: &'static str) -> Self {
        Self { program, name, hangs: false, root: false, besides: &[] }
    }

    const fn hanging(self) -> Self {
        Self { hangs: true, ..self }
    }

    const fn as_root(self) -> Self {
        Self { root: true, ..self }
    }

    const fn besides(self, besides: &'static [Protection]) -> Self {
        Self { besides, ..self }
    }
}

const fn suite(name: &'static str) -> Test {
    Test::of(Program::EndToEnd, name)
}

const fn broker(name: &'static str) -> Test {
    Test::of(Program::Unit("greenroom_broker"), name)
}

const fn engine(name: &'static str) -> Test {
    Test::of(Program::Unit("greenroom_engine"), name)
}

const fn runtime(name: &'static str) -> Test {
    Test::of(Program::Unit("greenroom_runtime"), name)
}

/// The tests that fail without it.
pub(super) fn row(protection: Protection) -> Vec<Test> {
    let quota = || broker("quota::tests::names_the_limit_that_is_reached");
    let registry = || broker("registry::tests::a_folder_that_others_could_touch_is_refused_with_what_to_do");
    let liars = || suite("attacks::lies::who_lies_to_the_broker_is_killed");
    let narrowed = || suite("grants::b10_each_right_is_passed_on_by_those_who_have_it_and_no_other");
    let each = || suite("grants::f1_each_right_gives_what_it_says_and_no_other");
    let logged = || suite("limits::f2_lines_of_the_log_are_bounded_in_number_and_length");
    match protection {
        Protection::Actors | Protection::Children => {
            vec![quota(), suite("spawns::b9_a_limit_that_is_reached_is_named")]
        }
        Protection::Allowlist => vec![suite("calls::c4_an_entry_may_name_single_functions")],
        Protection::Backlog => vec![suite("attacks::lies::what_is_no_lie_hurts_nobody")],
        Protection::Conduct | Protection::HungUp => vec![liars()],
        // The actor and the broker both count and shorten: either will do.
        Protection::BrokerLogLine => vec![logged().besides(&[Protection::LogLine])],
        Protection::BrokerLogRate => vec![logged().besides(&[Protection::LogRate])],
        Protection::CacheSeal => vec![
            engine("cache::tests::no_flipped_bit_is_believed"),
            engine("cache::tests::an_entry_of_another_key_or_name_is_made_again"),
        ],
        Protection::Clock | Protection::Random => vec![each()],
        Protection::CompileTime => {
            vec![broker("compiler::tests::a_compiler_that_never_answers_is_ended_in_time").hanging()]
        }
        Protection::CompileWalls => {
            vec![suite("attacks::real::f3_a_compiler_is_behind_the_walls")]
        }
        Protection::ControlEnd => {
            vec![suite("kills::a3_nothing_outlives_a_killed_broker").besides(&[Protection::ParentDeath])]
        }
        Protection::Copy => vec![suite("limits::f2_what_the_host_copies_at_once_is_bounded").hanging()],
        Protection::Cpu => vec![
            engine("bounds::tests::each_call_is_charged_for_its_own_time"),
            suite("limits::f2_processor_time_of_a_call_is_bounded").hanging(),
        ],
        Protection::Depth => vec![quota(), suite("spawns::b9_trees_nest_down_to_the_depth_limit").hanging()],
        Protection::Descendants => {
            vec![suite("kills::a3_nothing_outlives_an_actor_that_is_killed_while_it_starts_others")]
        }
        Protection::Discard => vec![
            suite("ladder::b8_a_cancelled_call_that_spins_costs_its_instance_and_not_its_actor").hanging(),
        ],
        Protection::Elements => vec![engine("bounds::tests::tables_count_as_elements_and_as_memory")],
        Protection::EmptyWrites => {
            vec![engine("output::tests::empty_writes_are_dropped_and_others_arrive")]
        }
        Protection::Epochs => vec![suite("attacks::bombs::every_bomb_is_stopped_and_others_are_answered")],
        Protection::Finds => vec![broker("discovery::tests::an_actor_asks_and_leaves_lying_only_so_much")],
        Protection::Folders => vec![suite("rights::b10_asking_for_more_is_denied_naming_the_right")],
        Protection::Instances => vec![engine("bounds::tests::a_seat_is_free_again_when_it_is_left")],
        Protection::Kill => vec![
            broker("ladder::tests::a_wedged_actor_is_killed_in_time"),
            suite("ladder::b8_a_stopped_actor_is_gone_in_time").hanging(),
        ],
        Protection::Liars => vec![suite("attacks::lies::who_lies_to_its_parent_is_ended")],
        Protection::LinkQueue => vec![suite("limits::f2_what_waits_to_be_sent_is_bounded").hanging()],
        Protection::LogLine => vec![logged().besides(&[Protection::BrokerLogLine])],
        Protection::LogRate => vec![logged().besides(&[Protection::BrokerLogRate])],
        Protection::LowerLimits => vec![suite("limits::f2_a_childs_limits_are_at_most_its_parents")],
        Protection::Memory => {
            vec![engine("bounds::tests::memory_is_counted_over_all_instances_and_given_back")]
        }
        Protection::Network => {
            vec![suite("grants::f1_connections_go_where_they_are_granted_and_nowhere_else").hanging()]
        }
        Protection::OutputRate => vec![suite("limits::f2_what_is_written_waits_and_is_not_lost")],
        Protection::Owners => {
            vec![suite("contexts::d3_cancel_actor_ends_the_whole_actor_and_is_its_owners")]
        }
        Protection::ParentDeath => {
            vec![suite("kills::a3_an_actor_that_is_stopped_does_not_outlive_its_broker")]
        }
        Protection::Payload => vec![suite("limits::f2_payloads_are_bounded").hanging()],
        Protection::Queue => vec![runtime("port::tests::only_so_much_waits_for_the_broker")],
        Protection::RegistryMode => vec![registry()],
        Protection::RegistryOwner => vec![registry().as_root()],
        Protection::Resources => vec![suite("limits::f2_resources_are_bounded").hanging()],
        Protection::Rights => vec![suite("searches::e1_rights_beyond_the_tree_only_shrink"), narrowed()],
        Protection::Spawn => vec![suite("grants::f1_only_who_may_starts_actors")],
        Protection::SpawnRate => vec![suite("limits::f2_children_are_started_only_so_fast").hanging()],
        Protection::StartUp => {
            vec![suite("spawns::b2_a_start_function_that_spins_ends_with_the_spawn_bound").hanging()]
        }
        Protection::StationPeers => vec![suite("attacks::users::f3_another_user_gets_nothing").as_root()],
        Protection::Streams => vec![suite("limits::f2_open_streams_are_bounded").hanging()],
        Protection::Tasks => {
            vec![runtime("tests::calls::the_limit_on_tasks_refuses_one_call_and_frees_with_the_next_end")]
        }
        Protection::TerminalEscapes => {
            vec![suite("limits::f2_what_is_written_cannot_command_a_terminal")]
        }
        Protection::Wall => vec![suite("limits::f2_the_time_of_a_call_is_bounded").hanging()],
        Protection::WallLandlock => {
            vec![suite("attacks::calls::f3_landlock_alone_denies_what_it_is_said_to")]
        }
        Protection::WallNoNewPrivs => vec![suite("attacks::real::a_wall_that_is_left_out_is_missed")],
        Protection::WallRlimits => {
            vec![suite("attacks::real::f3_every_thread_of_every_actor_is_behind_the_walls")]
        }
        Protection::WallSeccomp => vec![
            suite("attacks::calls::f3_no_forbidden_call_is_made_behind_the_walls"),
            suite("attacks::calls::f3_no_forbidden_call_is_made_behind_seccomp_alone"),
        ],
        Protection::Watchdog => {
            vec![engine("ticker::tests::a_process_whose_turn_does_not_end_is_given_up")]
        }
    }
}
