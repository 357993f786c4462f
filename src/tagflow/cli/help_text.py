"""What `tagflow --help` prints; made from the commands by `make reference`."""

TEXT = """\
Usage: tagflow [OPTIONS] COMMAND [ARGS]...

  Promote container images from environment to environment, bit for bit, and
  go back in seconds.

Options:
  -f, --policy FILE       The policy; default $TAGFLOW_POLICY, else the
                          nearest promotion.yaml.
  -o, --output text|json  What standard output carries.
  -v, --verbose           Show each request on standard error.
  --timeout DURATION      Give up after so long in all, for example 90s or 5m.
  --version               Say which tagflow this is.
  --install-completion    Install completion for the current shell.
  --show-completion       Show completion for the current shell, to copy it or
                          customize the installation.
  -h, --help              Show this message and exit.

Commands:
  init      Write a commented promotion.yaml.
  tags      Print the tags that a version gets, one a line; no network.
  next      Print the version after the highest of all images, or of one.
  push      Bring builds in as a version, into the first environment.
  promote   Move images on to an environment, by the digest they have.
  rollback  Go back to what ran before, or to a named version.
  apply     Carry out a saved plan, if everything is still as it was.
  approve   Look at a saved plan, and sign it: an approval.
  hold      Take a version out of promotion, or let it in again.
  freeze    Stop the line: nothing is promoted to an environment.
  status    Show which version runs where.
  history   Show who moved what, when, why, from what to what; newest first.
  verify    Check every name against the history; exit 5 on any finding.
  diff      Compare two environments, or two versions.
  pin       Write what an environment runs into deployment files.
  stats     Measure how often, and how well, releases go.
  pull      Pull what an environment runs, or a version, into Docker.
  doctor    Look at each registry: reachable, credential, features, hazards.
  schema    Print the JSON Schema of promotion.yaml."""
