package import Runs
package import SSE

// Workers name their runs themselves; clients know a run by the id of its stream, too.
extension RunRecords {
  /// Notes which worker's run a stream is. Each time somebody reads the run it is noted again, for another while.
  package func nameStream(_ stream: StreamID, of run: RunID) {
    ask { [self] command in
      command.append("SET")
      command.append(key: keys.stream(stream))
      command.append(run.description)
      command.append("PX")
      command.append(lifetime)
    } completion: { _ in
    }
  }

  /// The worker's run whose stream that is; `nil` when there is none.
  package func find(
    _ stream: StreamID, _ completion: @escaping (Result<RunID?, RedisError>) -> Void
  ) {
    ask { [self] command in
      command.append("GET")
      command.append(key: keys.stream(stream))
    } completion: { result in
      completion(Self.expect(result) { reply -> RunID?? in .some(RunID(reply.text)) })
    }
  }
}
