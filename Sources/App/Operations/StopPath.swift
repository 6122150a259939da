/// The path `/streams/ID/stop`.
enum StopPath {
  /// As lists and metrics have it.
  static let pattern = "/streams/ID/stop"

  /// The stream's id in a path of that form.
  static func stream(in path: String) -> String? {
    guard path.hasPrefix("/streams/"), path.hasSuffix("/stop") else { return nil }
    let id = path.dropFirst("/streams/".count).dropLast("/stop".count)
    return id.isEmpty || id.contains("/") ? nil : String(id)
  }
}
