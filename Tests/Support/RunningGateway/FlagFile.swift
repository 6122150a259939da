/// A flag file for one test, in a directory of its own.
package struct FlagFile: Sendable {
  package let directory: ScratchDirectory
  package let name = "stream-closing.flagd.json"

  /// - Parameter variant: what everybody gets.
  package init(_ variant: String = "legacy") throws {
    directory = try ScratchDirectory()
    directory.write(name, Self.document(variant))
  }

  package var path: String { directory[name] }

  /// A flag file of the project's form.
  ///
  /// - Parameter targeting: a rule in JSON.
  package static func document(
    _ variant: String, state: String = "ENABLED", targeting: String? = nil, version: String = "1"
  ) -> String {
    """
    {
      "flags": {
        "stream-closing": {
          "state": "\(state)",
          "variants": { "legacy": "legacy", "shield": "shield", "graceful": "graceful" },
          "defaultVariant": "\(variant)"\(targeting.map { ",\n      \"targeting\": \($0)" } ?? "")
        }
      },
      "metadata": { "flagSetId": "gateway", "version": "\(version)", "fractional": "v2" }
    }

    """
  }

  package func write(_ text: String) { directory.write(name, text) }
  package func replace(_ text: String) { directory.replace(name, text) }
  package func delete() { directory.delete(name) }
}
