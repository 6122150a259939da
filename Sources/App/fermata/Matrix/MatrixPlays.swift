import Harness
import Matrix
import Synchronization

/// What the backend does for each cell that is being played.
final class MatrixPlays: Sendable {
  private let plays = Mutex<[Play]>([])

  func add(_ play: Play) -> String {
    plays.withLock { plays in
      plays.append(play)
      return "n\(plays.count - 1)"
    }
  }

  /// The cell's mark in a path: `n57`.
  static func mark(in path: String) -> String? {
    let parts: [Substring] = path.split(separator: "/")
    return parts.first { $0.first == "n" && $0.count > 1 && $0.dropFirst().allSatisfy(\.isNumber) }.map { String($0) }
  }

  func script(for request: RecordedRequest) -> Script {
    guard let number = MatrixPlays.mark(in: request.path).flatMap({ Int($0.dropFirst()) }),
      let play = plays.withLock({ $0.indices.contains(number) ? $0[number] : nil })
    else { return .plain(status: 404, []) }
    return request.path.hasPrefix("/first/") ? play.first ?? play.script : play.script
  }
}
