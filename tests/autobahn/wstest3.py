#!/usr/bin/env python3
"""Run the Autobahn|Testsuite fuzzing client on Python 3.

The released package (autobahntestsuite 25.10.1) is still Python 2.7 source.
This driver takes the *installed* package, converts the modules that the
fuzzing client needs with lib2to3 (Python <= 3.12) into a scratch folder, and
runs them.  Test data stay what they were in Python 2 (byte strings) by being
held as latin-1 text and turned into octets at the protocol border, so every
case sends and compares exactly the octets it was written to.

usage: wstest3.py URL [--agent NAME] [--cases '*'] [--exclude 12.* 13.*]
                  [--outdir DIR] [--allow FILE] [--limit SECONDS]
                  [--strict] [--expect NUMBER]

Exit 0 when no case is FAILED / WRONG CODE / UNCLEAN / FAILED BY CLIENT beyond
the allow list (lines 'CASE VERDICT'), else 1; 2 when the server never answered.
--strict also fails what is NON-STRICT or UNIMPLEMENTED: only OK and
INFORMATIONAL pass.  --expect fails a run of any other number of cases.
The last line is 'N passed, N failed'; a missing case counts as failed.
"""
import argparse, contextlib, glob, importlib.util, json, os, re, shutil, sys, tempfile, warnings
warnings.simplefilter("ignore")


def port(src, dst):
    """Convert the installed Python 2 sources into dst/autobahntestsuite."""
    from lib2to3.refactor import RefactoringTool, get_fixers_from_package
    tool = RefactoringTool(
        [f for f in get_fixers_from_package("lib2to3.fixes")
         if not f.endswith(("fix_future", "fix_unicode"))], {}, [])
    out = os.path.join(dst, "autobahntestsuite")
    os.makedirs(os.path.join(out, "case"))
    names = ["caseset.py", "report.py", "fuzzing.py", "_version.py"]
    names += ["case/" + os.path.basename(p) for p in glob.glob(os.path.join(src, "case", "*.py"))
              if "case9_9_1" not in p]                 # not in the suite's own list
    for n in names:
        # Python 2 literals are octets: read as latin-1 so that one char is one octet
        text = open(os.path.join(src, n), encoding="latin-1").read()
        text = re.sub(r"^# *coding[=:].*$", "", text, flags=re.M)
        if n.endswith("case6_x_x.py"):                 # drop its self-test tail
            text = text.split("\nimport binascii\n", 2)
            text = "\nimport binascii\n".join(text[:2])
        text = re.sub(r"= 0770\b", "= 0o770", text)
        text = text.replace("from case9_9_1 import *\n", "")
        if n == "report.py":                           # only its CSS/JS constants are needed
            text = text.split("REPORT_DIR_PERMISSIONS")[0].replace("import jinja2", "")
        # sibling modules are imported by bare name
        if n.startswith("case/"):
            text = re.sub(r"^from (case\w*) import", r"from .\1 import", text, flags=re.M)
        else:
            text = re.sub(r"^from (case|caseset|report) import", r"from .\1 import", text, flags=re.M)
        text = str(tool.refactor_string(text.rstrip() + "\n", n))
        text = re.sub(r"\(object, (Case\b)", r"(\1", text)       # py3 class order
        text = text.replace('.encode("utf-8")', '.encode("utf-8", "surrogatepass").decode("latin-1")') \
            if n.endswith("case6_x_x.py") else text
        if n.endswith(("case12_x_x.py",)):
            text = text.replace("def onMessage(self, msg, binary):\n",
                                "def onMessage(self, msg, binary):\n   msg = msg.encode('latin-1')\n")
        elif n.startswith("case/"):
            text = text.replace("import binascii", "from autobahntestsuite import py2 as binascii")
            text = text.replace("from autobahn.websocket.utf8validator import Utf8Validator",
                                "from autobahntestsuite.py2 import Utf8Validator")
        if n.endswith("case10_1_1.py"):
            text = text.replace("len(self.payload) / self.p", "len(self.payload) // self.p")
        if n.endswith("case/case.py"):
            text = text.replace("pickle.dumps(obj1) == pickle.dumps(obj2)", "obj1 == obj2")
        if n == "fuzzing.py":
            text = text.replace("os, json, binascii, time", "os, json, time")
            text = "from autobahntestsuite import py2 as binascii\n" + text
            text = text.replace(".encode('utf8')", "").replace('.encode("utf-8")', "")
            text = text.replace("report_filename), 'w')", "report_filename), 'w', encoding='utf-8')")
        open(os.path.join(out, n), "w", encoding="utf-8").write(text)
    open(os.path.join(out, "__init__.py"), "w").write("from ._version import __version__\nversion = __version__\n")
    open(os.path.join(out, "py2.py"), "w").write('''
import binascii as _b
from autobahn.websocket.utf8validator import Utf8Validator as _V
def octets(x): return x.encode("latin-1") if isinstance(x, str) else x
def text(x): return bytes(x).decode("latin-1") if isinstance(x, (bytes, bytearray, memoryview)) else x
def b2a_hex(x): return _b.b2a_hex(octets(x)).decode()
hexlify = b2a_hex
def a2b_hex(x): return text(_b.a2b_hex(octets(x)))
unhexlify = a2b_hex
class Utf8Validator(_V):
    def validate(self, ba): return _V.validate(self, octets(ba))
''')
    for d in ("testdata", "web"):
        p = os.path.join(src, d)
        if os.path.isdir(p):
            os.symlink(p, os.path.join(out, d))


def shim(fuzzing, py2):
    """Octets on the wire, latin-1 text in the cases."""
    P, octets, text = fuzzing.FuzzingClientProtocol, py2.octets, py2.text
    W = fuzzing.WebSocketClientProtocol
    F = fuzzing.FuzzingProtocol

    def sendFrame(self, opcode, payload=b"", *a, **k):
        if k.get("mask") is not None:
            k["mask"] = octets(k["mask"])
        payload, n = octets(payload), k.pop("payload_len", None)
        if n is not None:                               # "repeat payload to n octets"
            payload = (payload * (n // len(payload) + 1))[:n]
        return W.sendFrame(self, opcode, payload, *a, **k)

    def sendMessageFrameData(self, payload, *a, **k):
        return W.sendMessageFrameData(self, octets(payload), *a, **k)

    def sendMessage(self, payload, *a, **k): return W.sendMessage(self, octets(payload), *a, **k)
    def sendPing(self, payload=None): return W.sendPing(self, octets(payload))
    def sendData(self, data, *a, **k): return W.sendData(self, octets(data), *a, **k)

    def sendCloseFrame(self, code=None, reasonUtf8=None, isReply=False):
        return W.sendCloseFrame(self, code, octets(reasonUtf8), isReply)

    def onMessage(self, payload, isBinary): return F.onMessage(self, text(payload), isBinary)
    def onPong(self, payload): return F.onPong(self, text(payload))

    def onPing(self, payload):
        if self.runCase:
            self.runCase.onPing(text(payload))
        return W.onPing(self, payload)

    P.sendFrame, P.sendMessage, P.sendPing, P.sendData = sendFrame, sendMessage, sendPing, sendData
    P.sendCloseFrame, P.onMessage, P.onPong = sendCloseFrame, onMessage, onPong
    P.sendMessageFrameData = sendMessageFrameData
    if "onPing" in F.__dict__:
        P.onPing = onPing

    def logRxFrame(self, h, payload):
        return F_logRx(self, h, [text(p) for p in payload])
    def logTxFrame(self, h, payload, *a):
        return F_logTx(self, h, text(payload), *a)
    F_logRx, F_logTx = F.logRxFrame, F.logTxFrame
    F.logRxFrame, F.logTxFrame = logRxFrame, logTxFrame

    def binLogData(data, maxlen=64):
        d = octets(data)
        return d[:maxlen].hex() + (" ..." if len(d) > maxlen - 4 else "")

    def asciiLogData(data, maxlen=64, replace=False):
        d = octets(data)
        try:
            return (d[:maxlen] + (b" ..." if len(d) > maxlen - 4 else b"")).decode("utf8", "replace" if replace else "strict")
        except UnicodeDecodeError:
            return "0x" + binLogData(data, maxlen)
    fuzzing.binLogData, fuzzing.asciiLogData = binLogData, asciiLogData

    def clean(o):
        if isinstance(o, (bytes, bytearray)):
            return bytes(o).decode("latin-1")
        if isinstance(o, dict):
            return {clean(k): clean(v) for k, v in o.items()}
        if isinstance(o, (list, tuple)):
            return type(o)(clean(x) for x in o)
        return o
    base = fuzzing.FuzzingFactory.logCase
    fuzzing.FuzzingFactory.logCase = lambda self, r: base(self, clean(r))

    def quiet_html(name):
        f = getattr(fuzzing.FuzzingFactory, name)
        def run(self, *a, **k):
            try:
                return f(self, *a, **k)
            except Exception as e:                      # HTML is a comfort, JSON is the result
                sys.stderr.write("html report %s: %r\n" % (name, e))
        setattr(fuzzing.FuzzingFactory, name, run)
    quiet_html("createMasterReportHTML")
    quiet_html("createAgentCaseReportHTML")


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("url")
    ap.add_argument("--agent", default="server")
    ap.add_argument("--cases", nargs="*", default=["*"])
    ap.add_argument("--exclude", nargs="*", default=[])
    ap.add_argument("--outdir", default="autobahn-report")
    ap.add_argument("--allow")
    ap.add_argument("--limit", type=float, default=900)
    ap.add_argument("--strict", action="store_true")
    ap.add_argument("--expect", type=int)
    a = ap.parse_args()
    spec = importlib.util.find_spec("autobahntestsuite")
    if not spec:
        sys.exit("install requirements.txt and requirements-no-deps.txt first")
    scratch = tempfile.mkdtemp(prefix="wstest3-")
    try:
        port(os.path.dirname(spec.origin), scratch)
        sys.path.insert(0, scratch)
        import autobahntestsuite                     # the converted copy
        assert autobahntestsuite.__file__.startswith(scratch)
        from autobahntestsuite import fuzzing, py2
        from twisted.internet import reactor
        shim(fuzzing, py2)
        os.makedirs(a.outdir, exist_ok=True)
        with open(os.path.join(a.outdir, "progress.log"), "w") as progress:     # a line a case
            with contextlib.redirect_stdout(progress):
                fuzzing.startClient({"options": {"failByDrop": False}, "outdir": a.outdir,
                                     "servers": [{"agent": a.agent, "url": a.url}],
                                     "cases": a.cases, "exclude-cases": a.exclude,
                                     "exclude-agent-cases": {}})
                reactor.callLater(a.limit, reactor.stop)
                reactor.run()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    try:
        res = json.load(open(os.path.join(a.outdir, "index.json")))[a.agent]
    except Exception as e:
        print("no result:", e)
        return 2
    allow = set()
    if a.allow:
        allow = {tuple(l.split(None, 1)) for l in open(a.allow).read().splitlines() if l.strip() and l[0] != "#"}
    fine = {"OK", "INFORMATIONAL"} if a.strict else {"OK", "INFORMATIONAL", "UNIMPLEMENTED", "NON-STRICT"}
    count, bad = {}, set()
    order = lambda c: [int(x) for x in c.split(".")]
    for c in sorted(res, key=order):
        for kind, v in (("", res[c]["behavior"]), ("close ", res[c]["behaviorClose"])):
            count[kind + v] = count.get(kind + v, 0) + 1
            if v not in ("OK", "INFORMATIONAL", "UNIMPLEMENTED"):
                print("%-8s %s%s (close code %s, %s ms)" % (c, kind, v, res[c]["remoteCloseCode"], res[c]["duration"]))
            if v not in fine and (c, (kind + v)) not in allow:
                bad.add(c)
    print("%d cases: %s" % (len(res), ", ".join("%s=%d" % kv for kv in sorted(count.items()))))
    failed = len(bad)
    if a.expect is not None and len(res) != a.expect:
        print("expected %d cases, ran %d" % (a.expect, len(res)))
        failed += max(1, a.expect - len(res))
    print("%d passed, %d failed" % (len(res) - len(bad), failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
