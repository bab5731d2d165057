"""Run what the pages tell to type, and write down what was run.

    python .dev_scripts/run_pages.py [PAGE[:N,N] ...] --data FOLDER

Each page has a folder of its own: a clean clone where it speaks of the clone's
files, else an empty one. Its blocks run there in their order, shell in one
shell and Python in one interpreter, beside a wheel of HEAD installed next to
this interpreter's packages. Comments in a page, above a block, say what cannot
be seen from it:

    <!-- not run: REASON -->
    <!-- run by: FILE, NOTE -->         a test or script that runs the block
    <!-- run first: CODE -->            in the block's language
    <!-- run with: WORD=VALUE ... -- MORE -->
                                        other words; more at the ends of lines
    <!-- run as FILE: COMMANDS -->      written to the file; then the commands

PAGE:2,3 runs the second and the third block alone. docs/what_was_run.md is
written anew after each block; what it says of blocks that are not run this
time stays, as long as all blocks of the page begin as they did.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from markdown_it import MarkdownIt

REPO = Path(__file__).resolve().parents[1]
LATER = 'not run yet'
SMALL = REPO / '.dev_scripts' / 'small.py'
REPORT = REPO / 'docs' / 'what_was_run.md'
COMMENT = re.compile(
    r'<!-- (not run|run by|run first|run with|run as (\S+)):\s(.*?)-->', re.S
)
# Of the report: what was done, and how a block begins.
ROW = r'^\| .* \| (`` .* ``) \|$'
# Both read the names of files with code, and answer what failed.
SHELLS = {
    'bash': """
trap 'failed+=" $BASH_COMMAND;"' ERR
while read -r block; do
  failed=; . "$block" </dev/null; failed=${failed%%' . "$block"'*}
  printf '%s\\n' "${failed//$'\\n'/ }" >&"$ANSWER"
done""",
    'python': """
import os, sys, traceback
names = {'__name__': '__main__'}
for block in sys.stdin:
    failed = ''
    try:
        exec(compile(open(block.strip()).read(), 'block', 'exec'), names)
    except Exception as error:
        failed = repr(error).replace('\\n', ' ')
        traceback.print_exc()
    os.write(int(os.environ['ANSWER']), f'{failed}\\n'.encode())
""",
}


def pages():
    """Return the pages that have something to run."""
    found = [
        *REPO.glob('*.md'),
        *REPO.glob('docs/**/*.md'),
        *REPO.glob('configs/**/README.md'),
    ]
    return sorted(path for path in found if path != REPORT and blocks_of(path))


def blocks_of(page):
    """Return language, code and what comments say of a page's blocks."""
    blocks, told = [], {}
    for token in MarkdownIt().parse(page.read_text(encoding='utf-8')):
        if token.type == 'html_block':
            for key, file, text in COMMENT.findall(token.content):
                told[key] = (file, text) if file else text.strip()
        elif token.type == 'fence':
            if token.info in SHELLS:
                blocks.append((token.info, token.content, told))
            told = {}
    return blocks


def adapt(code, values):
    """Put values for the words of a block, and more at its lines' ends."""
    words, *more = re.split(r'(?:^|\s)--\s+', values, maxsplit=1)
    for pair in shlex.split(words):
        word, value = pair.split('=', 1)
        code = re.sub(rf'(?<![\w$]){re.escape(word)}(?!\w)', value, code)
    if more:
        end = ' '.join(more[0].split())
        lines = code.replace('\\\n', ' ').splitlines()
        code = '\n'.join(
            re.sub(r'\s+#.*$', '', line) + f' {end}'
            if re.search(r'mmfdconv |\.py |\.sh ', line)
            else line
            for line in lines
        )
    return code


class Sandbox:
    """A folder for a page, with one shell of either language."""

    def __init__(self, folder, env, log):
        self.folder, self.env, self.log = folder, env, log
        self.shells, self.count = {}, 0

    def run(self, language, code):
        """Run code; return what failed, or nothing."""
        if language not in self.shells:
            self.shells[language] = self.start(language)
        shell, answer = self.shells[language]
        self.count += 1
        block = self.folder.parent / f'{self.folder.name}-{self.count}'
        block.write_text(code)
        shell.stdin.write(f'{block}\n')
        shell.stdin.flush()
        said = answer.readline()
        return said.strip() if said else f'the {language} ended'

    def start(self, language):
        """Start the interpreter, with a channel for its answers."""
        read, write = os.pipe()
        shell = subprocess.Popen(
            [language, '-c', SHELLS[language]],
            cwd=self.folder,
            env={**self.env, 'ANSWER': str(write)},
            stdin=subprocess.PIPE,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            pass_fds=[write],
            text=True,
        )
        os.close(write)
        return shell, os.fdopen(read)

    def close(self):
        """End the interpreters: they have no more to read."""
        for shell, answer in self.shells.values():
            shell.stdin.close()
            shell.wait()
            answer.close()


def run_block(sandbox, language, code, told):
    """Run a block as its comments say; return what a row says of it."""
    if 'not run' in told:
        return f'not run: {told["not run"]}'
    if 'run by' in told:
        file, comma, note = told['run by'].partition(',')
        return f'by `{file}`{comma}{note}'
    if sandbox is None:
        return LATER
    begun = time.perf_counter()
    note = ''
    named = [key for key in told if key.startswith('run as')]
    if named:
        file, commands = told[named[0]]
        target = sandbox.folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(code)
        language, code = 'bash', commands
        note = f', as `{file}`'
    elif 'run with' in told:
        code = adapt(code, told['run with'])
        note = f', with `{" ".join(told["run with"].split())}`'
    failed = sandbox.run(language, told.get('run first', '') + '\n' + code)
    if failed:
        return f'FAILED{note}: {failed}'
    return f'{time.perf_counter() - begun:.0f} s{note}'


def beginning(code):
    """Return how a block begins, as the report has it."""
    lines = code.strip().splitlines()
    first = lines[0][:76].rstrip('\\ ')
    more = ' ...' if lines[1:] or lines[0][76:] else ''
    return f'`` {first}{more} ``'


def row(code, said):
    """Return a row of the report: what was done, and how a block begins."""
    return f'| {said} | {beginning(code)} |'


def rows_before(blocks):
    """Return the rows of a page of which nothing has run."""
    return [
        row(code, run_block(None, language, code, told))
        for language, code, told in blocks
    ]


def run_page(page, chosen, work, env, data, source):
    """Run a page, or the chosen blocks of it, counted from 1.

    After each block yield where, and the rows of the page's table.
    """
    name = page.relative_to(REPO).as_posix()
    folder = work / name.replace('/', '-')
    blocks = blocks_of(page)
    ran = ''.join(
        code + ' '.join(map(str, told.values()))
        for _, code, told in blocks
        if not {'not run', 'run by'} & set(told)
    )
    clone = re.search(r'(tools|configs)/|pip install \.', ran)
    if clone:
        git('clone', '--quiet', source, folder)
        # As an editable install leaves it, for bases named mmfdconv::...
        (wheel,) = work.glob('environment/lib/*/site-packages/mmfdconv/.mim')
        (folder / 'mmfdconv' / '.mim').symlink_to(wheel)
    else:
        folder.mkdir()
    if SMALL.name in ran:
        shutil.copy(SMALL, folder)
    if data:
        shutil.copytree(data, folder / 'data', dirs_exist_ok=True)
    log = work / f'{folder.name}.log'
    rows = rows_before(blocks)
    before = reported().get(name, '')
    if chosen and is_of(before, blocks):
        rows = [found[0] for found in re.finditer(ROW, before, re.M)]
    commit = git('-C', source, 'log', '-1', '--format=%h')
    print(f'{name} ({log})', flush=True)
    with log.open('w') as out:
        sandbox = Sandbox(folder, env, out)
        for i, (language, code, told) in enumerate(blocks):
            if chosen and i + 1 not in chosen:
                continue
            said = run_block(sandbox, language, code, told)
            rows[i] = row(code, re.sub(r'^\d+ s', rf'\g<0> at {commit}', said))
            print(rows[i], flush=True)
            yield ('a clone' if clone else 'an empty folder'), rows
        sandbox.close()


def git(*arguments):
    """Run git, return what it says."""
    done = subprocess.run(
        ['git', *map(str, arguments)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout.strip()


def environment(work, source):
    """Install HEAD's wheel beside this interpreter's packages."""
    made = work / 'environment'
    venv.create(made)
    python = made / 'bin' / 'python'
    (site,) = made.glob('lib/*/site-packages')
    paths = [path for path in sys.path if path.endswith('site-packages')]
    (site / 'beside.pth').write_text('\n'.join(paths))
    for name, module in (
        ('pip', 'pip'),
        ('torchrun', 'torch.distributed.run'),
    ):
        script = made / 'bin' / name
        script.write_text(f'#!/bin/sh\nexec {python} -m {module} "$@"\n')
        script.chmod(0o755)
    env = {
        **os.environ,
        'PATH': f'{made / "bin"}{os.pathsep}{os.environ["PATH"]}',
        'OMP_NUM_THREADS': '1',
        'PIP_DISABLE_PIP_VERSION_CHECK': '1',
    }
    env.pop('PYTHONPATH', None)
    subprocess.run(
        ['pip', 'install', '-q', '--no-deps', '--no-build-isolation', source],
        env=env,
        check=True,
    )
    versions = subprocess.run(
        [python, '-c', 'import torch, mmdet;'
         'print("torch", torch.__version__ + ", mmdet", mmdet.__version__)'],
        env=env, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return env, versions.stdout.strip()


HEAD = """# What was run

Every block of commands or Python on these pages, in order. Of {all} blocks
{ran} were run by `.dev_scripts/run_pages.py`, {tested} are run by a test or
by CI, {left} cannot run here, and {later} were not run yet. *At* names the
commit; *with* says what stood for a placeholder, or made a long run short.
Seconds are of one thread of a CPU that other jobs shared. Data were small
parts of COCO, ADE20K, CamVid and GID.

```text
python .dev_scripts/run_pages.py docs/start.md docs/howto.md --data FOLDER
```

runs pages again. Comments above their blocks say how; the script's first
lines explain them.
"""


def reported():
    """Return what the report says of each page, by its name."""
    text = REPORT.read_text('utf-8') if REPORT.is_file() else ''
    return dict(re.findall(r'^## (.+)\n\n((?:(?!## ).*\n)*)', text, re.M))


def is_of(section, blocks):
    """Say whether a section of the report is of these blocks."""
    begun = re.findall(ROW, section, re.M)
    return begun == [beginning(code) for _, code, _ in blocks]


def write(ran):
    """Write the report: what ran now, what it said before, what is left."""
    said = reported()
    sections = []
    for page in pages():
        name = page.relative_to(REPO).as_posix()
        blocks = blocks_of(page)
        before = said.get(name, '')
        if name in ran:
            said[name] = ran[name]
        elif not (before.startswith('In ') and is_of(before, blocks)):
            said[name] = table(rows_before(blocks))
        sections.append(f'## {name}\n\n{said[name].strip()}\n')
    rows = re.findall(r'^\| (.*) \| `` .* `` \|$', '\n'.join(sections), re.M)
    tested = sum(text.startswith('by ') for text in rows)
    left = sum(text.startswith('not run:') for text in rows)
    later = rows.count(LATER)
    head = HEAD.format(
        all=len(rows),
        ran=len(rows) - tested - left - later,
        tested=tested,
        left=left,
        later=later,
    )
    text = '\n'.join([head, *sections])
    REPORT.write_text(text, encoding='utf-8')


def table(rows):
    """Return rows with their heading."""
    return '\n'.join(['| run | block |', '| :-- | :-- |', *rows])


def main():
    """Run the pages that are named, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('pages', nargs='*', metavar='PAGE[:N,N]')
    parser.add_argument(
        '--data', type=Path, help='folder with coco, ade, camvid and gid'
    )
    args = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix='pages-'))
    source = work / 'source'
    git('clone', '--quiet', REPO, source)
    env, versions = environment(work, source)
    failed, rows = False, []
    for word in args.pages or pages():
        path, _, numbers = str(word).partition(':')
        page = Path(path).resolve()
        chosen = [int(number) for number in numbers.split(',') if number]
        name = page.relative_to(REPO).as_posix()
        for place, rows in run_page(
            page, chosen, work, env, args.data, source
        ):
            where = f'In {place}, with {versions}.'
            write({name: f'{where}\n\n{table(rows)}'})
        failed = failed or any(row.startswith('| FAILED') for row in rows)
    sys.exit(failed)


if __name__ == '__main__':
    main()
