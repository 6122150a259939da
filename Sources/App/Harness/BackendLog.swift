internal import Synchronization

/// What a backend has seen; written on its loop, read from any thread.
final class BackendLog: Sendable {
  /// The newest requests kept; a bench makes more than anyone will read.
  static let limit = 20_000

  private struct State {
    var requests: [RecordedRequest] = []
    /// The number of the first request kept.
    var first = 0
    var connections = 0
  }

  private let state = Mutex(State())

  var requests: [RecordedRequest] { state.withLock { $0.requests } }
  var connectionCount: Int { state.withLock { $0.connections } }

  func countConnection() -> Int {
    state.withLock { state in
      state.connections += 1
      return state.connections - 1
    }
  }

  /// Adds a request made from its number, and returns it.
  func add(_ make: (Int) -> RecordedRequest) -> RecordedRequest {
    state.withLock { state in
      if state.requests.count >= Self.limit { Self.drop(Self.limit / 2, from: &state) }
      let request = make(state.first + state.requests.count)
      state.requests.append(request)
      return request
    }
  }

  /// Changes a request that is still kept.
  func update(_ number: Int, _ change: (inout RecordedRequest) -> Void) {
    state.withLock { state in
      let index = number - state.first
      if state.requests.indices.contains(index) { change(&state.requests[index]) }
    }
  }

  func forget() {
    state.withLock { Self.drop($0.requests.count, from: &$0) }
  }

  private static func drop(_ count: Int, from state: inout State) {
    state.requests.removeFirst(count)
    state.first += count
  }
}
