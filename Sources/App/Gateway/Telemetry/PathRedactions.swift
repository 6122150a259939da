import HTTP

/// What the log may not say of requests' paths: what stands where a path's template has a parameter of certain names.
struct PathRedactions: Sendable {
  private let templates: [PathTemplate]
  private let names: Set<String>

  /// - Parameters:
  ///   - names: of parameters.
  ///   - templates: of all paths that are served.
  init(_ names: Set<String>, in templates: [PathTemplate]) {
    self.names = names
    self.templates = names.isEmpty ? [] : templates.filter { !names.isDisjoint(with: $0.captureNames) }
  }

  /// `path` with `:name` in place of what is redacted; `nil` when nothing is.
  package func redacted(_ path: Span<UInt8>) -> [UInt8]? {
    for template in templates {
      if let redacted = template.redacted(path, names) { return redacted }
    }
    return nil
  }
}
