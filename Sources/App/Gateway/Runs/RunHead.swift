import Bytes
import Configuration
import HTTP
import Runs
import SSE
import Streams

// What the head of a response says of the run that it reads.
extension Run {
  /// The run's id where that is not its stream's: workers name their runs themselves.
  var ownID: String? { home == .aWorker ? notice?.id.description : nil }

  /// Whether what a client has missed can be read again: nothing is kept of what is published on a channel, and a run
  /// whose store is away may be lost.
  var isKept: Bool { !isDegraded && !(home == .aWorker && settings.source == .pubsub) }

  /// Appends `X-Stream-Resume`: the path at which a client that was cut goes on, and never begins a run.
  ///
  /// - Parameter path: where streams can be resumed, as it was when the client's request came.
  func appendResumeField(_ path: PathTemplate?, to draft: inout ResponseDraft) {
    guard isKept, let (before, after) = path?.surroundings(of: CommonRunSettings.streamCapture) else { return }
    draft.append("X-Stream-Resume") { value in
      value.append(before)
      stream.write(to: &value)
      value.append(after)
    }
  }
}
