"""From a command's call to a plan: settings read, template chosen, warnings said, test dir checked."""

from bootcamp_cli.cli.console import Console
from bootcamp_cli.cli.options import Call
from bootcamp_cli.cli.sources import read_settings, resumed_settings
from bootcamp_cli.engine.plan import Plan, make_plan
from bootcamp_cli.errors import ResumeRefusedError, RunDirectoryError
from bootcamp_cli.settings.sources import Resolved
from bootcamp_cli.settings.warnings import mode_warnings, template_note
from bootcamp_cli.store.run_dir import RunDir, run_dirs_newest_first
from bootcamp_cli.templates.catalog import choose, template_catalog
from bootcamp_cli.templates.template import Template


def planned(call: Call) -> Plan:
    """The plan of a new evaluation, by the settings of a call."""
    return plan_of(read_settings(call), call.console)


def plan_of(resolved: Resolved, console: Console) -> Plan:
    """The plan of a new evaluation; says what may not be meant about the settings and the test dir."""
    settings = resolved.settings
    template = choose(template_catalog(resolved.templates), settings.template, resolved.origins["template"].text)
    for warning in mode_warnings(resolved, template_system_prompt=template.system_prompt):
        console.warn(warning)
    if note := template_note(resolved):
        console.notice(note)
    sys_prompt = settings.sys_prompt
    if sys_prompt is None and resolved.chosen("template"):
        sys_prompt = template.system_prompt
    return _checked(make_plan(settings, template, sys_prompt=sys_prompt), console)


def planned_again(call: Call, run_dir: RunDir) -> Plan:
    """The plan of a run that was started before, from what it wrote down.

    Raises:
        ResumeRefusedError: the run directory was not made by this tool, or a flag would change the answers.
    """
    args, manifest = run_dir.read_eval_args(), run_dir.read_manifest()
    if args is None or manifest is None:
        missing = "eval_args.json" if args is None else "manifest.json"
        raise ResumeRefusedError(f"{run_dir.path} has no {missing} and cannot be resumed", hint="start a new run")
    settings = resumed_settings(call, args, run_dir)
    try:
        written = manifest["template"]
        template = Template(
            name=written["name"],
            text=written["text"],
            stop=tuple(written["stop"]),
            system_prompt=written["system_prompt"],
            origin="the run",
        )
        sys_prompt = manifest["sys_prompt"]
    except (KeyError, TypeError) as error:
        raise RunDirectoryError(f"{run_dir.manifest}: no usable {error}", hint="restore it from a copy") from error
    return _checked(make_plan(settings, template, sys_prompt=sys_prompt), call.console)


def newest_unfinished(call: Call) -> RunDir:
    """The run directory under output_dir that was started last and is not complete; says which it cannot take.

    Raises:
        RunDirectoryError: there is none.
    """
    output_dir = read_settings(call).settings.output_dir
    for run_dir in run_dirs_newest_first(output_dir):
        if (run_dir.read_manifest() or {}).get("complete") is True:
            continue
        if run_dir.read_eval_args() is not None:
            return run_dir
        call.console.warn(f"{run_dir.path} has no eval_args.json and is passed over")
    raise RunDirectoryError(f"no unfinished run under {output_dir}", hint="give the run directory, or --output-dir")


def _checked(plan: Plan, console: Console) -> Plan:
    """The plan, after what there is to say about its test set and bootcamps."""
    for warning in plan.test_set.warnings:
        console.warn(warning)
    if plan.settings.bootcamps == "upstream" and not any(
        ref and ref.origin == "upstream" for ref in plan.refs.values()
    ):
        console.warn("bootcamps: upstream has no effect: no internbootcamp package with these data sources is there")
    if plan.test_set.skipped:
        console.notice(f"not test files, skipped: {', '.join(plan.test_set.skipped)}")
    return plan
