import JSON

extension FlagsVerb {
  static let completions = FlagsVerb(
    name: "completions", summary: "a completion script for bash, zsh or fish", usage: "bash|zsh|fish",
    details: """
      bash: eval "$(fermata flags completions bash)"
      zsh:  fermata flags completions zsh > "${fpath[1]}/_fermata"
      fish: fermata flags completions fish > ~/.config/fish/completions/fermata.fish
      """,
    operands: 1...1
  ) { invocation throws(FlagsFailure) in
    let script: String
    switch invocation.arguments.operands[0] {
    case "bash": script = Completions.bash
    case "zsh": script = Completions.zsh
    case "fish": script = Completions.fish
    case let shell: throw .usage("there are completions for bash, zsh and fish, not for \"\(shell)\"")
    }
    return FlagsOutput(kind: "Completions", data: ["script": .string(script)], text: script)
  }
}

/// Completion scripts, made from the table of verbs.
private enum Completions {
  private static var verbs: [FlagsVerb] { FlagsVerb.all }
  private static var firstWords: [String] {
    verbs.map { String($0.name.split(separator: " ")[0]) }.reduce(into: []) { if $0.last != $1 { $0.append($1) } }
  }
  private static var rolloutWords: [String] {
    var words: [String] = []
    for verb in verbs where verb.name.hasPrefix("rollout ") {
      let word = String(verb.name.split(separator: " ")[1])
      if words.last != word { words.append(word) }
    }
    return words
  }

  private static func options(of verb: FlagsVerb) -> [String] {
    verb.allOptions.union(verb.allSwitches).union(["--help"]).sorted()
  }

  static var bash: String {
    let cases = verbs.map { "    \"\($0.name)\") words=\"\(options(of: $0).joined(separator: " "))\" ;;" }
    let programs = Verb.all.filter { !$0.isHidden }.map(\.name).joined(separator: " ")
    return """
      _fermata() {
        local current="${COMP_WORDS[COMP_CWORD]}" words="" verb="${COMP_WORDS[2]:-}"
        [ "$verb" = rollout ] && verb="rollout ${COMP_WORDS[3]:-}"
        if [ "$COMP_CWORD" -eq 1 ]; then words="\(programs)"
        elif [ "${COMP_WORDS[1]}" != flags ]; then words=""
        elif [ "$COMP_CWORD" -eq 2 ]; then words="\(firstWords.joined(separator: " "))"
        elif [ "$COMP_CWORD" -eq 3 ] && [ "${COMP_WORDS[2]}" = rollout ]; then words="\(rolloutWords.joined(separator: " "))"
        else case "$verb" in
      \(cases.joined(separator: "\n"))
        esac; fi
        case "${COMP_WORDS[COMP_CWORD-1]}" in
          --file|--keys|--contexts|--internal-file) COMPREPLY=($(compgen -f -- "$current")); return ;;
        esac
        COMPREPLY=($(compgen -W "$words" -- "$current"))
      }
      complete -o default -F _fermata fermata
      """
  }

  static var zsh: String {
    "#compdef fermata\nautoload -U +X bashcompinit && bashcompinit\n\(bash)"
  }

  static var fish: String {
    var lines = ["complete -c fermata -f"]
    for verb in Verb.all where !verb.isHidden {
      lines.append("complete -c fermata -n __fish_use_subcommand -a \(verb.name) -d '\(quoted(verb.summary))'")
    }
    let inFlags = "__fish_seen_subcommand_from flags"
    for word in firstWords {
      let summary = verbs.first { $0.name == word }?.summary ?? "introduce a variant step by step"
      lines.append(
        "complete -c fermata -n '\(inFlags); and not __fish_seen_subcommand_from \(firstWords.joined(separator: " "))'"
          + " -a \(word) -d '\(quoted(summary))'")
    }
    for word in rolloutWords {
      lines.append("complete -c fermata -n '__fish_seen_subcommand_from rollout' -a \(word)")
    }
    for verb in verbs {
      let word = verb.name.split(separator: " ").last.map(String.init) ?? verb.name
      for option in options(of: verb) where option.hasPrefix("--") {
        lines.append(
          "complete -c fermata -n '\(inFlags); and __fish_seen_subcommand_from \(word)' -l \(option.dropFirst(2))")
      }
    }
    return lines.joined(separator: "\n")
  }

  private static func quoted(_ text: String) -> String { text.replacing("'", with: "\\'") }
}
