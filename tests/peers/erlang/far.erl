%% Erlang's remote calls, `erpc`, between two nodes over loopback TCP.
%%
%% Owns: both ends of it. Must not know: what the figures mean. Invariant: answers as the programs in
%% `common` do, and measures as long.
-module(far).
-export([main/1, square/1, echo/1, taker/0, taken/1]).

-define(LASTING, 400).
-define(WARM_UP, 500).
-define(FLYING, 64).
-define(LARGE, 1048576).
-define(MESSAGES, 100000).
-define(FIRST_MESSAGES, 10000).
-define(STARTS, 5).
-define(ALIKE, 8).

%% What the far end does.
square(X) -> X * X.
echo(Bytes) -> Bytes.
taker() -> spawn(fun() -> take(0) end).
take(Count) ->
    receive
        {taken, From} -> From ! {taken, Count}, take(0);
        _ -> take(Count + 1)
    end.
taken(Taker) ->
    Taker ! {taken, self()},
    receive {taken, Count} -> Count end.

main([Core | Measurements]) ->
    print(["{\"version\":\"OTP ", erlang:system_info(otp_release), "\"}"]),
    lists:foreach(fun(Measurement) -> measure(Core, Measurement) end, Measurements),
    net_kernel:stop(),
    % The daemon that knows the nodes of this machine; it stays if there are others.
    end_daemon(20),
    halt(0).

%% It refuses for as long as it knows a node, and nodes take a moment to be forgotten.
end_daemon(0) -> ok;
end_daemon(Tries) ->
    case os:cmd("epmd -kill") of
        "Killed" ++ _ -> ok;
        _ -> timer:sleep(20), end_daemon(Tries - 1)
    end.

measure(Core, "spawn") ->
    samples("spawn", [start_and_call(Core) || _ <- lists:seq(1, ?STARTS)]);
measure(Core, "memory") ->
    Alike = [start(Core) || _ <- lists:seq(1, ?ALIKE)],
    [square_of(Node) || {_, Node} <- Alike],
    Bytes = [private_bytes(erpc:call(Node, os, getpid, [])) || {_, Node} <- Alike],
    [peer:stop(Peer) || {Peer, _} <- Alike],
    print(["{\"measurement\":\"memory\",\"bytes\":", list(Bytes), "}"]);
measure(Core, Measurement) ->
    {Peer, Node} = start(Core),
    [square_of(Node) || _ <- lists:seq(1, ?WARM_UP)],
    case Measurement of
        "call" -> samples("call", timed(fun() -> square_of(Node) end));
        "flight" -> rate("flight", flight(Node));
        "echo" -> samples("echo", echoes(Node));
        "stream" -> rate("stream", stream(Node))
    end,
    peer:stop(Peer).

start(Core) ->
    Options = #{name => peer:random_name(), args => ["-connect_all", "false", "-pa", filename:dirname(code:which(?MODULE))]},
    Placed = case Core of
        "-" -> Options;
        _ -> Options#{exec => {os:find_executable("taskset"), ["-c", Core, os:find_executable("erl")]}}
    end,
    {ok, Peer, Node} = peer:start(Placed),
    {Peer, Node}.

start_and_call(Core) ->
    Began = now_ns(),
    {Peer, Node} = start(Core),
    square_of(Node),
    Took = now_ns() - Began,
    peer:stop(Peer),
    Took.

square_of(Node) -> 144 = erpc:call(Node, ?MODULE, square, [12]).

echoes(Node) ->
    Payload = binary:copy(<<7>>, ?LARGE),
    Echo = fun() -> ?LARGE = byte_size(erpc:call(Node, ?MODULE, echo, [Payload])) end,
    [Echo() || _ <- lists:seq(1, 5)],
    timed(Echo).

%% So many processes, each of which calls as often as it can.
flight(Node) ->
    Began = now_ns(),
    End = Began + ?LASTING * 1000000,
    Self = self(),
    [spawn_link(fun() -> Self ! {count, repeat(Node, End, 0)} end) || _ <- lists:seq(1, ?FLYING)],
    Count = lists:sum([receive {count, Some} -> Some end || _ <- lists:seq(1, ?FLYING)]),
    {Count, now_ns() - Began}.
repeat(Node, End, Count) ->
    square_of(Node),
    case now_ns() < End of
        true -> repeat(Node, End, Count + 1);
        false -> Count + 1
    end.

stream(Node) ->
    Taker = erpc:call(Node, ?MODULE, taker, []),
    pour(Node, Taker, ?FIRST_MESSAGES),
    Began = now_ns(),
    pour(Node, Taker, ?MESSAGES),
    {?MESSAGES, now_ns() - Began}.
pour(Node, Taker, Count) ->
    Message = binary:copy(<<7>>, 16),
    [Taker ! Message || _ <- lists:seq(1, Count)],
    Count = erpc:call(Node, ?MODULE, taken, [Taker]).

timed(Work) -> timed(Work, now_ns() + ?LASTING * 1000000, []).
timed(Work, End, Samples) ->
    Began = now_ns(),
    Work(),
    Now = now_ns(),
    case Now < End of
        true -> timed(Work, End, [Now - Began | Samples]);
        false -> [Now - Began | Samples]
    end.

private_bytes(Pid) ->
    {ok, Rollup} = file:read_file("/proc/" ++ Pid ++ "/smaps_rollup"),
    Found = re:run(Rollup, "Private_[A-Za-z]+: *([0-9]+)", [global, {capture, all_but_first, list}]),
    {match, Kib} = Found,
    1024 * lists:sum([list_to_integer(Number) || [Number] <- Kib]).

now_ns() -> erlang:monotonic_time(nanosecond).
samples(Measurement, Samples) ->
    print(["{\"measurement\":\"", Measurement, "\",\"samples\":", list(Samples), "}"]).
rate(Measurement, {Count, Nanoseconds}) ->
    print(io_lib:format("{\"measurement\":\"~s\",\"count\":~b,\"nanoseconds\":~b}",
                        [Measurement, Count, Nanoseconds])).
list(Numbers) -> ["[", lists:join(",", [integer_to_list(Number) || Number <- Numbers]), "]"].
print(Line) -> io:put_chars([Line, "\n"]).
