import JSON

extension FlagsVerb {
  static let completions = FlagsVerb(
    name: "completions", summary: "a completion script for bash, zsh or fish", usage: "bash|zsh|fish",
    details: """
      The same as "fermata completions", for all verbs.
      """,
    operands: 1...1
  ) { invocation throws(FlagsFailure) in
    let shell = invocation.arguments.operands[0]
    guard let script = Completions.script(for: shell) else { throw .usage(Completions.refusal(of: shell)) }
    return FlagsOutput(kind: "Completions", data: ["script": .string(script)], text: script)
  }
}

extension Verb {
  static let completions = Verb(
    name: "completions", summary: "print a completion script for bash, zsh or fish",
    help: """
      usage: fermata completions bash|zsh|fish

      bash: eval "$(fermata completions bash)"
      zsh:  fermata completions zsh > "${fpath[1]}/_fermata"
      fish: fermata completions fish > ~/.config/fish/completions/fermata.fish

      \(ExitStatus.help(of: "completions"))
      """
  ) { arguments in
    do throws(Arguments.Mistake) {
      let shell = try Arguments(arguments, operands: 1...1).operands[0]
      guard let script = Completions.script(for: shell) else {
        throw Arguments.Mistake(message: Completions.refusal(of: shell))
      }
      Terminal.print(script)
      return ExitStatus.success
    } catch {
      return misused("completions", error)
    }
  }
}

/// Completion scripts, made from the tables of verbs.
private enum Completions {
  static func script(for shell: String) -> String? {
    switch shell {
    case "bash": bash
    case "zsh": zsh
    case "fish": fish
    default: nil
    }
  }

  static func refusal(of shell: String) -> String {
    "there are completions for bash, zsh and fish, not for \"\(shell)\""
  }

  /// The verbs whose options stand in one table.
  private static var plainVerbs: [Verb] { Verb.all.filter { !$0.isHidden && $0.answersHelp } }

  private static func words(of verb: Verb) -> [String] {
    let shells = verb.name == Verb.completions.name ? ["bash", "zsh", "fish"] : []
    return shells + verb.options.union(["--help"]).sorted()
  }

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
    let plain = plainVerbs.map { "    \"\($0.name)\") words=\"\(words(of: $0).joined(separator: " "))\" ;;" }
    let programs = Verb.all.filter { !$0.isHidden }.map(\.name).joined(separator: " ")
    return """
      _fermata() {
        local current="${COMP_WORDS[COMP_CWORD]}" words="" verb="${COMP_WORDS[2]:-}"
        [ "$verb" = rollout ] && verb="rollout ${COMP_WORDS[3]:-}"
        if [ "$COMP_CWORD" -eq 1 ]; then words="\(programs)"
        elif [ "${COMP_WORDS[1]}" != flags ]; then case "${COMP_WORDS[1]}" in
      \(plain.joined(separator: "\n"))
        esac
        elif [ "$COMP_CWORD" -eq 2 ]; then words="\(firstWords.joined(separator: " "))"
        elif [ "$COMP_CWORD" -eq 3 ] && [ "${COMP_WORDS[2]}" = rollout ]; then words="\(rolloutWords.joined(separator: " "))"
        else case "$verb" in
      \(cases.joined(separator: "\n"))
        esac; fi
        case "${COMP_WORDS[COMP_CWORD-1]}" in
          --file|--keys|--contexts|--internal-file|--config|--flags|--roots|--admin-list) COMPREPLY=($(compgen -f -- "$current")); return ;;
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
    for verb in plainVerbs {
      let condition = "'not __fish_seen_subcommand_from flags; and __fish_seen_subcommand_from \(verb.name)'"
      for word in words(of: verb) {
        let kind =
          word.hasPrefix("--")
          ? "-l \(word.dropFirst(2))" : word.hasPrefix("-") ? "-s \(word.dropFirst())" : "-a \(word)"
        lines.append("complete -c fermata -n \(condition) \(kind)")
      }
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
