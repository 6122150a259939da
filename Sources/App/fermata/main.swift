import Glibc

// fermata VERB [OPTION …]: the verbs are in `Verb.all`, each in a file of its own.
exit(Program.run(Array(CommandLine.arguments.dropFirst())))
