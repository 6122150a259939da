import Runs
import SSE
import Streams
import Time

let alice = Digest.principal(credentials: [[1]])
let bob = Digest.principal(credentials: [[2]])
let keyDigest = Digest([[3]])
let nameDigest = Digest([[4]])
let clientDigest = Digest([[5]])
let bodyDigest = Digest([[6]])
let otherBody = Digest([[7]])

func stream(_ number: UInt64) -> StreamID { StreamID(random: (number, number)) }

func run(of stream: StreamID) throws -> RunID {
  guard let run = RunID(stream.description) else { throw Unusable() }
  return run
}

struct Unusable: Error {}

func meta(
  _ number: UInt64, of principal: Digest = alice, by writer: RunWriter = .gateway
) -> RunMeta {
  RunMeta(principal: principal, stream: stream(number), created: WallTime(milliseconds: 1), source: writer)
}

func known(_ meta: RunMeta?, ended outcome: Outcome? = nil) -> RunState {
  var state = RunState()
  state.meta = meta
  state.end = outcome.map {
    EndRecord(outcome: $0, reason: "", events: 1, bytes: 1, upstreamIsComplete: $0.isCleanEnd)
  }
  return state
}
