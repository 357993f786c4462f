"""What `tagflow --help` and `tagflow COMMAND --help` print; made from the commands by `make reference`."""

TEXTS = {
    "": """\
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
  schema    Print the JSON Schema of promotion.yaml.""",
    "init": """\
Usage: tagflow init [OPTIONS]

  Write a commented promotion.yaml.

Options:
  --registry R            HOST[:PORT][/NAMESPACE], or oci:DIR.
  --image NAME            An image; repeatable.
  --env NAME              An environment, in order.
  --force                 Overwrite the file that is there.
  -f, --policy FILE       The policy; default $TAGFLOW_POLICY, else the
                          nearest promotion.yaml.
  -o, --output text|json  What standard output carries.
  -v, --verbose           Show each request on standard error.
  --timeout DURATION      Give up after so long in all, for example 90s or 5m.
  --version               Say which tagflow this is.
  -h, --help              Show this message and exit.""",
    "tags": """\
Usage: tagflow tags [OPTIONS] VERSION

  Print the tags that a version gets, one a line; no network.

Arguments:
  VERSION  As v1.0, 1.2.3 or 1.2.0-rc.1.  [required]

Options:
  --env ENV               Only for this environment; repeatable.
  -f, --policy FILE       The policy; default $TAGFLOW_POLICY, else the
                          nearest promotion.yaml.
  -o, --output text|json  What standard output carries.
  -v, --verbose           Show each request on standard error.
  --timeout DURATION      Give up after so long in all, for example 90s or 5m.
  --version               Say which tagflow this is.
  -h, --help              Show this message and exit.""",
    "next": """\
Usage: tagflow next [OPTIONS] [major|minor|patch|prerelease]

  Print the version after the highest of all images, or of one.

Arguments:
  [major|minor|patch|prerelease]  What goes up. Default: patch; with natural
                                  versions the last number.

Options:
  --image NAME            Only of this image; repeatable.
  -f, --policy FILE       The policy; default $TAGFLOW_POLICY, else the
                          nearest promotion.yaml.
  -o, --output text|json  What standard output carries.
  -v, --verbose           Show each request on standard error.
  --timeout DURATION      Give up after so long in all, for example 90s or 5m.
  --version               Say which tagflow this is.
  -h, --help              Show this message and exit.""",
    "push": """\
Usage: tagflow push [OPTIONS] VERSION [NAME=SOURCE…]

  Bring builds in as a version, into the first environment.

Arguments:
  VERSION       As v1.0, 1.2.3 or 1.2.0-rc.1.  [required]
  NAME=SOURCE…  docker-daemon:NAME[:TAG], docker://HOST/REPO[:TAG|@DIGEST],
                oci:DIR[:TAG|@DIGEST], docker-archive:FILE[:NAME|@DIGEST].

Options:
  --dry-run               Show what would happen, and exit as it would.
  --reason TEXT           Why; it is recorded.
  -y, --yes               Do not ask.
  --wait DURATION         Wait so long for another release that is under way,
                          and decide anew; default 0.
  --receipt FILE          Write the heads that this leaves, for `verify
                          --expect`.
  -f, --policy FILE       The policy; default $TAGFLOW_POLICY, else the
                          nearest promotion.yaml.
  -o, --output text|json  What standard output carries.
  -v, --verbose           Show each request on standard error.
  --timeout DURATION      Give up after so long in all, for example 90s or 5m.
  --version               Say which tagflow this is.
  -h, --help              Show this message and exit.""",
    "promote": """\
Usage: tagflow promote [OPTIONS] [TARGET…]

  Move images on to an environment, by the digest they have.

Arguments:
  TARGET…  VERSION (all images), NAME, or NAME=VERSION.

Options:
  --to ENV                The environment to promote to.
  --from ENV              Which one, where several lead there.
  --all                   Every image, as the environment before runs it.
  --override RULE         Set a rule aside: hold, soak, freeze, downgrades or
                          approvals; repeatable, needs --reason.
  --dry-run               Show what would happen, and exit as it would.
  --reason TEXT           Why; it is recorded.
  -y, --yes               Do not ask.
  --save-plan FILE        Save the plan for `apply`; change nothing.
  --wait DURATION         Wait so long for another release that is under way,
                          and decide anew; default 0.
  --receipt FILE          Write the heads that this leaves, for `verify
                          --expect`.
  -f, --policy FILE       The policy; default $TAGFLOW_POLICY, else the
                          nearest promotion.yaml.
  -o, --output text|json  What standard output carries.
  -v, --verbose           Show each request on standard error.
  --timeout DURATION      Give up after so long in all, for example 90s or 5m.
  --version               Say which tagflow this is.
  -h, --help              Show this message and exit.""",
    "rollback": """\
Usage: tagflow rollback [OPTIONS] ENV [TARGET…]

  Go back to what ran before, or to a named version.

Arguments:
  ENV      The environment.  [required]
  TARGET…  VERSION (all images), NAME, or NAME=VERSION.

Options:
  --dry-run               Show what would happen, and exit as it would.
  --reason TEXT           Why; it is recorded.
  -y, --yes               Do not ask.
  --save-plan FILE        Save the plan for `apply`; change nothing.
  --wait DURATION         Wait so long for another release that is under way,
                          and decide anew; default 0.
  --receipt FILE          Write the heads that this leaves, for `verify
                          --expect`.
  -f, --policy FILE       The policy; default $TAGFLOW_POLICY, else the
                          nearest promotion.yaml.
  -o, --output text|json  What standard output carries.
  -v, --verbose           Show each request on standard error.
  --timeout DURATION      Give up after so long in all, for example 90s or 5m.
  --version               Say which tagflow this is.
  -h, --help              Show this message and exit.""",
    "apply": """\
Usage: tagflow apply [OPTIONS] FILE

  Carry out a saved plan, if everything is still as it was.

Arguments:
  FILE  The plan that --save-plan wrote.  [required]

Options:
  --dry-run               Show what would happen, and exit as it would.
  -y, --yes               Do not ask.
  --approval FILE         An approval that is not in the registry; repeatable.
  --receipt FILE          Write the heads that this leaves, for `verify
                          --expect`.
  -f, --policy FILE       The policy; default $TAGFLOW_POLICY, else the
                          nearest promotion.yaml.
  -o, --output text|json  What standard output carries.
  -v, --verbose           Show each request on standard error.
  --timeout DURATION      Give up after so long in all, for example 90s or 5m.
  --version               Say which tagflow this is.
  -h, --help              Show this message and exit.""",
    "approve": """\
Usage: tagflow approve [OPTIONS] FILE

  Look at a saved plan, and sign it: an approval.

Arguments:
  FILE  The plan that --save-plan wrote.  [required]

Options:
  --out FILE              Write the approval here, not to the registry.
  -y, --yes               Do not ask.
  -f, --policy FILE       The policy; default $TAGFLOW_POLICY, else the
                          nearest promotion.yaml.
  -o, --output text|json  What standard output carries.
  -v, --verbose           Show each request on standard error.
  --timeout DURATION      Give up after so long in all, for example 90s or 5m.
  --version               Say which tagflow this is.
  -h, --help              Show this message and exit.""",
    "hold": """\
Usage: tagflow hold [OPTIONS] ENV [TARGET…]

  Take a version out of promotion, or let it in again.

Arguments:
  ENV      The environment.  [required]
  TARGET…  VERSION (all images), NAME, or NAME=VERSION.

Options:
  --reason TEXT           Why; it is recorded. Needed.
  --lift                  End it.
  -f, --policy FILE       The policy; default $TAGFLOW_POLICY, else the
                          nearest promotion.yaml.
  -o, --output text|json  What standard output carries.
  -v, --verbose           Show each request on standard error.
  --timeout DURATION      Give up after so long in all, for example 90s or 5m.
  --version               Say which tagflow this is.
  -h, --help              Show this message and exit.""",
    "freeze": """\
Usage: tagflow freeze [OPTIONS] ENV

  Stop the line: nothing is promoted to an environment.

Arguments:
  ENV  The environment.  [required]

Options:
  --until TIME            When it ends by itself: RFC 3339, a date (UTC), or a
                          duration.
  --reason TEXT           Why; it is recorded. Needed.
  --lift                  End it.
  -f, --policy FILE       The policy; default $TAGFLOW_POLICY, else the
                          nearest promotion.yaml.
  -o, --output text|json  What standard output carries.
  -v, --verbose           Show each request on standard error.
  --timeout DURATION      Give up after so long in all, for example 90s or 5m.
  --version               Say which tagflow this is.
  -h, --help              Show this message and exit.""",
    "status": """\
Usage: tagflow status [OPTIONS] [ENV|NAME|VERSION|DIGEST]…

  Show which version runs where.

Arguments:
  [ENV|NAME|VERSION|DIGEST]…  Only these; default all.

Options:
  --at TIME               As it was then, by the history: RFC 3339, or a date
                          (UTC).
  --html FILE             Write a page too, with a timeline for each
                          environment; - is standard output.
  -f, --policy FILE       The policy; default $TAGFLOW_POLICY, else the
                          nearest promotion.yaml.
  -o, --output text|json  What standard output carries.
  -v, --verbose           Show each request on standard error.
  --timeout DURATION      Give up after so long in all, for example 90s or 5m.
  --version               Say which tagflow this is.
  -h, --help              Show this message and exit.""",
    "history": """\
Usage: tagflow history [OPTIONS] ENV [NAME]…

  Show who moved what, when, why, from what to what; newest first.

Arguments:
  ENV      The environment.  [required]
  [NAME]…  Only these images.

Options:
  -n, --limit N           The newest N releases only.
  --since TIME|DURATION   Since then: RFC 3339, a date (UTC), or 7d.
  -f, --policy FILE       The policy; default $TAGFLOW_POLICY, else the
                          nearest promotion.yaml.
  -o, --output text|json  What standard output carries.
  -v, --verbose           Show each request on standard error.
  --timeout DURATION      Give up after so long in all, for example 90s or 5m.
  --version               Say which tagflow this is.
  -h, --help              Show this message and exit.""",
    "verify": """\
Usage: tagflow verify [OPTIONS] [ENV]…

  Check every name against the history; exit 5 on any finding.

Arguments:
  [ENV]…  Only these environments.

Options:
  --repair                Mend what needs no judgement.
  --dry-run               With --repair: say what it would mend.
  --running FILE|-        What `kubectl get pods -o json`, `docker ps --format
                          json` or `docker compose ps --format json` say: find
                          what is not what ENV should run.
  --expect FILE           A receipt: find what the history has lost since.
  --deep                  Look whether every image that a rollback may go back
                          to is whole.
  -f, --policy FILE       The policy; default $TAGFLOW_POLICY, else the
                          nearest promotion.yaml.
  -o, --output text|json  What standard output carries.
  -v, --verbose           Show each request on standard error.
  --timeout DURATION      Give up after so long in all, for example 90s or 5m.
  --version               Say which tagflow this is.
  -h, --help              Show this message and exit.""",
    "diff": """\
Usage: tagflow diff [OPTIONS] A B [NAME]…

  Compare two environments, or two versions.

Arguments:
  A        An environment, or a version.  [required]
  B        The one to compare it with.  [required]
  [NAME]…  Only these images.

Options:
  --exit-code             Exit 5 where they differ.
  -f, --policy FILE       The policy; default $TAGFLOW_POLICY, else the
                          nearest promotion.yaml.
  -o, --output text|json  What standard output carries.
  -v, --verbose           Show each request on standard error.
  --timeout DURATION      Give up after so long in all, for example 90s or 5m.
  --version               Say which tagflow this is.
  -h, --help              Show this message and exit.""",
    "pin": """\
Usage: tagflow pin [OPTIONS] ENV FILE…

  Write what an environment runs into deployment files.

Arguments:
  ENV    The environment.  [required]
  FILE…  Compose, Kubernetes, kustomize and Helm values files, as YAML or
         JSON.  [required]

Options:
  --check                       Change nothing; exit 5 where a file differs.
  --diff                        Change nothing; print a unified diff.
  --form tag@digest|digest|tag  How a reference is written.  [default:
                                tag@digest]
  -f, --policy FILE             The policy; default $TAGFLOW_POLICY, else the
                                nearest promotion.yaml.
  -o, --output text|json        What standard output carries.
  -v, --verbose                 Show each request on standard error.
  --timeout DURATION            Give up after so long in all, for example 90s
                                or 5m.
  --version                     Say which tagflow this is.
  -h, --help                    Show this message and exit.""",
    "stats": """\
Usage: tagflow stats [OPTIONS] ENV

  Measure how often, and how well, releases go.

Arguments:
  ENV  The environment.  [required]

Options:
  --since DURATION        How far back: 30d; or since a TIME.  [default: 30d]
  -f, --policy FILE       The policy; default $TAGFLOW_POLICY, else the
                          nearest promotion.yaml.
  -o, --output text|json  What standard output carries.
  -v, --verbose           Show each request on standard error.
  --timeout DURATION      Give up after so long in all, for example 90s or 5m.
  --version               Say which tagflow this is.
  -h, --help              Show this message and exit.""",
    "pull": """\
Usage: tagflow pull [OPTIONS] ENV|VERSION [NAME]…

  Pull what an environment runs, or a version, into Docker.

  $DOCKER_DEFAULT_PLATFORM names another platform than that of the machine.

Arguments:
  ENV|VERSION  An environment, or a version.  [required]
  [NAME]…      Only these images.

Options:
  -f, --policy FILE       The policy; default $TAGFLOW_POLICY, else the
                          nearest promotion.yaml.
  -o, --output text|json  What standard output carries.
  -v, --verbose           Show each request on standard error.
  --timeout DURATION      Give up after so long in all, for example 90s or 5m.
  --version               Say which tagflow this is.
  -h, --help              Show this message and exit.""",
    "doctor": """\
Usage: tagflow doctor [OPTIONS]

  Look at each registry: reachable, credential, features, hazards.

Options:
  -f, --policy FILE       The policy; default $TAGFLOW_POLICY, else the
                          nearest promotion.yaml.
  -o, --output text|json  What standard output carries.
  -v, --verbose           Show each request on standard error.
  --timeout DURATION      Give up after so long in all, for example 90s or 5m.
  --version               Say which tagflow this is.
  -h, --help              Show this message and exit.""",
    "schema": """\
Usage: tagflow schema [OPTIONS]

  Print the JSON Schema of promotion.yaml.

Options:
  -f, --policy FILE       The policy; default $TAGFLOW_POLICY, else the
                          nearest promotion.yaml.
  -o, --output text|json  What standard output carries.
  -v, --verbose           Show each request on standard error.
  --timeout DURATION      Give up after so long in all, for example 90s or 5m.
  --version               Say which tagflow this is.
  -h, --help              Show this message and exit.""",
}
