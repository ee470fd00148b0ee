package corpus

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"assay/internal/scan"
)

// sample is a stream.
type sample struct {
	name string
	data []byte
}

// reach lists callables that published bypasses of other scanners reached, beside a few
// that were never published; docs/scan-advisories.md gives their advisories.
const reach = `os:system posix:system nt:system subprocess:Popen subprocess:check_output commands:getoutput pty:spawn runpy:_run_code
builtins:eval builtins:exec builtins:compile builtins:open builtins:print builtins:breakpoint __builtin__:eval __builtin__:apply __builtin__:execfile
asyncio.unix_events:_UnixSubprocessTransport._start bdb:Bdb.run cProfile:run cProfile:runctx profile:run profile:Profile.run profile:Profile.runctx
code:InteractiveInterpreter.runcode codeop:compile_command doctest:debug_script ensurepip:_run_pip pip:main venv:create pdb:run timeit:timeit trace:Trace.run trace:Trace.runctx
idlelib.autocomplete:AutoComplete.get_entity idlelib.autocomplete:AutoComplete.fetch_completions idlelib.calltip:Calltip.fetch_tip idlelib.calltip:get_entity idlelib.debugobj:ObjectTreeItem.SetText
idlelib.pyshell:ModifiedInterpreter.runcode idlelib.pyshell:ModifiedInterpreter.runcommand idlelib.run:Executive.runcode lib2to3.pgen2.grammar:Grammar.loads lib2to3.pgen2.pgen:ParserGenerator.make_label
torch._dynamo.guards:GuardBuilder.get torch._inductor.codecache:compile_file torch.fx.experimental.symbolic_shapes:ShapeEnv.evaluate_guards_expression torch.jit.unsupported_tensor_ops:execWrapper
torch.utils._config_module:ConfigModule.load_config torch.utils.bottleneck.__main__:run_cprofile torch.utils.bottleneck.__main__:run_autograd_prof torch.utils.collect_env:run torch.utils.collect_env:run_and_read_all
torch.utils.data.datapipes.utils.decoder:basichandlers torch.serialization:load torch:load numpy:load joblib:load pandas:read_pickle pickle:loads _pickle:loads marshal:loads dill:loads cloudpickle:loads shelve:open
numpy.f2py.crackfortran:getlincoef numpy.f2py.crackfortran:_eval_length numpy.f2py.crackfortran:myeval numpy.f2py.crackfortran:param_eval numpy.testing._private.utils:runstring
importlib:import_module importlib.util:spec_from_file_location pkgutil:resolve_name pydoc:locate pydoc:pipepager zipimport:zipimporter imp:load_source
uuid:_get_command_stdout _osx_support:_read_output _osx_support:_find_build_tool _aix_support:_read_cmd_output imaplib:IMAP4_stream _pyrepl.pager:pipe_pager _pyrepl.pager:tempfile_pager test.support.script_helper:assert_python_ok
distutils.file_util:write_file logging:FileHandler logging.config:fileConfig io:FileIO _io:FileIO io:open shutil:rmtree shutil:copy tempfile:mktemp linecache:getline
ctypes:CDLL ctypes:cdll.LoadLibrary cffi:FFI.dlopen ssl:get_server_certificate socket:create_connection urllib.request:urlopen requests.api:get requests:get aiohttp:ClientSession http.client:HTTPSConnection ftplib:FTP smtplib:SMTP telnetlib:Telnet
multiprocessing.util:spawnv_passfds mlflow.projects.backend.local:_run_entry_point pandas.io.parsers.readers:read_csv webbrowser:open platform:popen antigravity:geohash
types:CodeType types:FunctionType cloudpickle.cloudpickle:_make_function cloudpickle.cloudpickle:_builtin_type dill._dill:_create_function dill._dill:_create_code
operator:attrgetter operator:methodcaller operator:itemgetter functools:reduce builtins:map builtins:filter builtins:globals builtins:setattr builtins:__import__ sys:setprofile gc:get_objects inspect:getattr_static
signal:signal atexit:register threading:Thread _thread:start_new_thread concurrent.futures:ThreadPoolExecutor _posixsubprocess:fork_exec site:execsitecustomize unittest:main difflib:unified_diff socketserver:TCPServer _notyetknown:run interpreters:create _interpreters:run_string _xxsubinterpreters:run_string
sqlite3:connect zipfile:ZipFile tarfile:open dataclasses:make_dataclass collections:namedtuple string:Formatter.format ast:literal_eval difflib:get_close_matches glob:glob readline:read_init_file keras.layers.core:Lambda
torch:os.system torch.serialization:os.system numpy:__builtins__ statistics:sys.modules random:_os.system`

// Pickles gives streams of Python's: those that hide what they call, and those that models
// and data are made of.
func Pickles() []Case {
	var out []Case
	for _, s := range harmfulPickles() {
		out = append(out, Case{"pickle/" + s.name, s.data, scan.Found, "", false})
	}
	for _, s := range harmlessPickles() {
		out = append(out, Case{"pickle/harmless/" + s.name, s.data, scan.Clean, "", false})
	}
	for _, s := range keepingPickles() {
		out = append(out, Case{"pickle/records/" + s.name, s.data, scan.Found, "pickle-records", false})
	}
	return out
}

// keepingPickles are estimators that keep records that they were trained on, as scikit-learn has them.
func keepingPickles() []sample {
	var out []sample
	for _, e := range [][3]string{
		{"sklearn.neighbors._classification", "KNeighborsClassifier", "_fit_X"}, {"sklearn.svm._classes", "SVC", "support_vectors_"},
		{"sklearn.gaussian_process._gpr", "GaussianProcessRegressor", "X_train_"}, {"sklearn.kernel_ridge", "KernelRidge", "X_fit_"},
	} {
		for proto := range 6 {
			p := NewStream(proto)
			p.Object(e[0], e[1], func() {
				for i := range 12 { // the name stands behind more attributes than are kept
					p.Text(fmt.Sprint("attribute", i)).Int(i)
				}
				p.Text(e[2]).Array("numpy.core", 4)
			})
			out = append(out, sample{fmt.Sprintf("%s/%d", e[1], proto), p.Stop()})
		}
	}
	return out
}

func harmfulPickles() []sample {
	var out []sample
	add := func(name string, data []byte) { out = append(out, sample{name, data}) }
	for i, key := range strings.Fields(reach) {
		module, name, _ := strings.Cut(key, ":")
		add("reach/"+key, Evil(i%6, module, name, "echo pwned"))
	}
	for proto := range 6 {
		evil := func() *Stream { return NewStream(proto) }
		add(fmt.Sprintf("protocol/%d", proto), Evil(proto, "os", "system", "echo pwned"))
		p := evil().Op('(').Text("echo pwned").Raw("ios\nsystem\n")
		add(fmt.Sprintf("inst/%d", proto), p.Stop())
		p = evil().Op('(').Global("os", "system").Text("echo pwned").Op('o')
		add(fmt.Sprintf("obj/%d", proto), p.Stop())
		p = evil().Op('(').Global("pty", "spawn").Text("id").Op('o', '0', 'N')
		add(fmt.Sprintf("obj-popped/%d", proto), p.Stop())
		p = evil().Global("os", "system").Tuple(func() {}).Op('\x81')
		add(fmt.Sprintf("newobj/%d", proto), p.Stop())
		p = evil().Global("subprocess", "Popen").Tuple(func() {}).Dict(func() { p.Text("args").Text("id") })
		add(fmt.Sprintf("newobj-ex/%d", proto), p.Op('\x92').Stop())
	}
	for name, data := range crafted() {
		add("crafted/"+name, data)
	}
	slices.SortFunc(out, func(a, b sample) int { return strings.Compare(a.name, b.name) })
	return out
}

// crafted are streams that hide what they call.
func crafted() map[string][]byte {
	out := map[string][]byte{}
	text := func(s string) string { return "\x8c" + string(rune(len(s))) + s }
	system := text("os") + text("system") + "\x93"
	pwn := text("echo pwned") + "\x85R"
	raw := func(name, body string) { out[name] = []byte("\x80\x04" + body + ".") }

	// The memo under an index other than that of MEMOIZE.
	raw("memo-confusion", "\x8c\x02osq\x00\x8c\x06systemq\x01\x8c\x0ctorch._utils\x94\x8c\x12_rebuild_tensor_v2\x94h\x00h\x01\x93"+pwn)
	raw("memo-sparse", text("os")+"r\x00\x00\x00\x700"+text("system")+"r\x01\x00\x00\x700j\x00\x00\x00\x70j\x01\x00\x00\x70\x93"+pwn)
	raw("memo-overwritten", text("collections")+"q\x00"+text("os")+"q\x00"+text("system")+"q\x010"+"00h\x00h\x01\x93"+pwn)
	raw("memo-text-index", text("os")+"p1_0\n"+text("system")+"p+11\n00g10\ng1_1\n\x93"+pwn)
	raw("dup-and-pop", text("os")+"2N0"+"0"+text("system")+"\x93"+pwn)
	raw("marks", "(N(N1"+"1"+system+pwn)
	raw("pop-takes-a-mark", "(0"+system+pwn)
	raw("escaped-name", "Vo\\u0073\nV\\u0073ystem\n\x93"+pwn)
	raw("quoted-name", "S'\\x6fs'\nS\"sys\\164em\"\n\x93"+pwn)
	raw("binstring-name", "U\x02osT\x06\x00\x00\x00system\x93"+pwn)
	raw("long-text-name", "\x8d\x02\x00\x00\x00\x00\x00\x00\x00osX\x06\x00\x00\x00system\x93"+pwn)
	raw("dotted-name", text("torch.serialization")+text("os.system")+"\x93"+pwn)
	raw("dunder-chain", text("collections")+text("OrderedDict.__init__.__globals__")+"\x93"+text("x")+"\x85R")
	raw("framed", "\x95\x05\x00\x00\x00\x00\x00\x00\x00"+system+pwn)
	raw("frame-too-long", "\x95\xff\xff\xff\x00\x00\x00\x00\x00"+system+pwn)
	raw("computed-name", text("_codecs")+text("decode")+"\x93"+text("bf")+text("rot13")+"\x86R"+text("system")+"\x93"+pwn)
	raw("joined-name", text("builtins")+text("getattr")+"\x93"+text("")+text("join")+"\x86R]("+text("o")+text("s")+"e\x85R"+text("system")+"\x93"+pwn)
	raw("getattr-of-import", text("builtins")+text("getattr")+"\x93"+text("builtins")+text("__import__")+"\x93"+text("os")+"\x85R"+text("system")+"\x86R"+pwn)
	raw("attrgetter", text("operator")+text("attrgetter")+"\x93"+text("system")+"\x85R"+text("builtins")+text("__import__")+"\x93"+text("os")+"\x85R\x85R"+pwn)
	raw("methodcaller", text("_operator")+text("methodcaller")+"\x93"+text("system")+text("echo pwned")+"\x86R"+text("builtins")+text("__import__")+"\x93"+text("os")+"\x85R\x85R")
	raw("resolve-name", text("pkgutil")+text("resolve_name")+"\x93"+text("os:system")+"\x85R"+pwn)
	raw("locate", text("pydoc")+text("locate")+"\x93"+text("os.system")+"\x85R"+pwn)
	raw("import-module", text("importlib")+text("import_module")+"\x93"+text("os")+"\x85R0N")
	raw("partial", text("functools")+text("partial")+"\x93"+system+text("echo pwned")+"\x86R)R")
	raw("partial-state", text("functools")+text("partial")+"\x93)\x81("+system+text("echo pwned")+"\x85}NtbN0)R")
	raw("partial-nested", text("functools")+text("partial")+"\x93"+text("functools")+text("partial")+"\x93"+system+"\x86R"+text("echo pwned")+"\x85R")
	raw("defaultdict", text("collections")+text("defaultdict")+"\x93"+system+"\x85R")
	raw("setstate-attribute", text("argparse")+text("Namespace")+"\x93)\x81}"+text("__setstate__")+system+"sb"+text("echo pwned")+"b")
	raw("patched-class", text("collections")+text("OrderedDict")+"\x93}"+text("__setstate__")+text("torch")+text("load")+"\x93sb")
	raw("patched-function", text("numpy")+text("size")+"\x93}}"+text("shape")+text("numpy")+text("__builtins__")+"\x93s\x86b")
	raw("patched-modules", text("sys")+text("modules")+"\x93"+text("os")+text("x")+"s")
	raw("extension-added", text("copyreg")+text("add_extension")+"\x93"+text("os")+text("system")+"K\x07\x87R0\x82\x07"+pwn)
	raw("ufunc", text("numpy.core")+text("_ufunc_reconstruct")+"\x93"+text("os")+text("system")+"\x86R"+pwn)
	raw("rebuild-from-type", text("torch._tensor")+text("_rebuild_from_type_v2")+"\x93("+system+text("torch")+text("Tensor")+"\x93"+text("echo pwned")+"\x85}tR")
	raw("reconstructor", text("copyreg")+text("_reconstructor")+"\x93"+text("subprocess")+text("Popen")+"\x93"+text("builtins")+text("object")+"\x93N\x87R")
	raw("newobj-function", text("copyreg")+text("__newobj__")+"\x93"+text("subprocess")+text("Popen")+"\x93"+text("id")+"\x86R")
	raw("call-then-build", system+pwn+"}"+text("a")+"Nsb")
	raw("in-a-set", "\x8f("+system+pwn+"\x90")
	raw("as-persistent-id", system+pwn+"Q")
	raw("unused-result", system+pwn+"0N")
	raw("within-a-tensor", text("torch._utils")+text("_rebuild_tensor_v2")+"\x93("+system+pwn+"tR")
	raw("made-class", text("builtins")+text("type")+"\x93"+text("X")+")}"+text("__del__")+text("builtins")+text("print")+"\x93s\x87R")
	nested := Evil(2, "os", "system", "echo pwned")
	raw("nested-torch-bytes", text("torch.storage")+text("_load_from_bytes")+"\x93C"+string(rune(len(nested)))+string(nested)+"\x85R")
	raw("padded", strings.Repeat("N0", 1<<17)+system+pwn)
	raw("long-literal-first", "X\x00\x00\x10\x00"+strings.Repeat("a", 1<<20)+"0"+system+pwn)

	out["reduce-of-python-2"] = Evil(2, "__builtin__", "reduce", "x", "y")
	evil := Evil(4, "os", "system", "echo pwned")
	good := NewStream(4).Int(1).Stop()
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	out["second-stream"] = join(good, evil)
	out["third-stream"] = join(good, good, Evil(0, "posix", "system", "echo pwned"))
	out["no-stop"] = evil[:len(evil)-1]
	out["broken-after-the-call"] = join(evil[:len(evil)-1], []byte("\xff\xff\xff"))
	out["underflow-after-the-call"] = join(evil[:len(evil)-1], []byte("000000."))
	out["harmless-then-broken"] = join(good, evil[:len(evil)-1], []byte("\xff"))
	out["protocol-0-as-text"] = []byte("cos\nsystem\n(S'echo pwned'\ntR.")
	out["protocol-0-and-more-text"] = []byte("cos\nsystem\n(S'echo pwned'\ntR.\nand this is a readme.\n")
	out["number-that-ends-at-a-zero"] = []byte("I7\x00more\n0I\x00\n0F1\x00x\n0cos\nsystem\n(S'echo pwned'\ntR.")
	out["memo-index-that-ends-at-a-zero"] = []byte("S'os'\np1\x00x\n0S'system'\np2\x00\n0g1\x00y\ng2\n\x93(S'echo pwned'\ntR.")
	out["windows-name"] = []byte("cnt\nsystem\n(Vecho pwned\ntR.")
	out["prefix"] = join(bytes.Repeat([]byte{0, 1}, 100), evil)
	out["prefix-long"] = join(bytes.Repeat([]byte{0, 1}, 100_000), evil)
	out["trailing-bytes"] = join(evil, bytes.Repeat([]byte{0, 1}, 100))
	out["eval-for-torch-magic"] = Evil(2, "builtins", "eval", "0x1950A86A20F9469CFC6C")
	torch := LegacyTorch(func(p *Stream) { p.Global("os", "system").Call(func() { p.Text("echo pwned") }) })
	out["legacy-torch"] = torch
	p := NewStream(4)
	JoblibArray(p, "O8", 1)
	out["joblib-object-array"] = join(p.Bytes(), evil, []byte("."))
	p = NewStream(3)
	JoblibArray(p, "f8", 4)
	// What the state says of a dtype goes over what it is called by: elements are smaller, or objects.
	system3 := Evil(3, "os", "system", "echo pwned")
	smaller := NewStream(3)
	joblibArray(smaller, 4, func() { smaller.dtype("S40", 1, 0) })
	crowd := NewStream(4)
	for i := range 5000 {
		crowd.Global("mine", fmt.Sprint("thing", i)).Op('0')
	}
	out["behind-a-crowd"] = join(crowd.Global("os", "system").Call(func() { crowd.Text("echo pwned") }).Stop())
	out["joblib-size-in-the-state"] = join(smaller.Bytes(), make([]byte, 4), system3, make([]byte, 160), []byte("."))
	objects := NewStream(3)
	joblibArray(objects, 4, func() { objects.dtype("f8", -1, 63) })
	out["joblib-objects-in-the-state"] = join(objects.Bytes(), evil, make([]byte, 32), []byte("."))
	out["joblib-after-the-array"] = join(p.Bytes(), make([]byte, 32), NewStream(3).Global("os", "system").Call(func() {}).Bytes(), []byte("."))
	return out
}

// LegacyTorch gives a file as PyTorch wrote them before 1.6, with more in its object.
func LegacyTorch(more func(p *Stream)) []byte {
	var out bytes.Buffer
	out.WriteString("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.")
	out.Write(NewStream(2).Int(1001).Stop())
	p := NewStream(2)
	out.Write(p.Dict(func() { p.Text("protocol_version").Int(1001).Text("little_endian").Op('\x88') }).Stop())
	p = NewStream(2)
	p.Global("collections", "OrderedDict").Op(')', 'R', '(').Text("weight").Tensor("7", 6).Text("more")
	more(p)
	out.Write(p.Op('u').Stop())
	p = NewStream(2)
	out.Write(p.List(func() { p.Text("7") }).Stop())
	out.Write(binary.LittleEndian.AppendUint64(nil, 6))
	out.Write(make([]byte, 24))
	return out.Bytes()
}

// JoblibArray writes an array as joblib does, up to where its bytes follow.
func JoblibArray(p *Stream, dtype string, n int) {
	joblibArray(p, n, func() { p.Dtype(dtype) })
}

func joblibArray(p *Stream, n int, dtype func()) {
	p.Object("joblib.numpy_pickle", "NumpyArrayWrapper", func() {
		p.Text("subclass").Global("numpy", "ndarray").Text("shape").Tuple(func() { p.Int(n) }).Text("order").Text("C").
			Text("dtype")
		dtype()
		p.Text("allow_mmap").Op('\x88')
	})
}

func harmlessPickles() []sample {
	var out []sample
	for proto := range 6 {
		for name, write := range shapes() {
			p := NewStream(proto)
			write(p)
			out = append(out, sample{fmt.Sprintf("%s/%d", name, proto), p.Stop()})
		}
	}
	out = append(out,
		sample{"legacy-torch", LegacyTorch(func(p *Stream) { p.Int(1) })},
		sample{"streams", bytes.Join([][]byte{NewStream(2).Int(1).Stop(), NewStream(4).Text("a").Stop(), NewStream(0).Int(3).Stop()}, nil)},
		sample{"newline-after", append(NewStream(4).Int(1).Stop(), '\n')},
		sample{"nested-lists", NestedLists(100_000)},
		sample{"out-of-band", []byte("\x80\x05\x97\x98.")},
		sample{"frames", []byte("\x80\x04\x95\x02\x00\x00\x00\x00\x00\x00\x00N.")},
	)
	p := NewStream(3)
	JoblibArray(p, "f8", 4)
	out = append(out, sample{"joblib", append(append(p.Bytes(), make([]byte, 32)...), '.')})
	p = NewStream(4)
	joblibArray(p, 3, func() { p.record(16, "f8") })
	out = append(out, sample{"joblib-records", append(append(p.Bytes(), make([]byte, 48)...), '.')})
	p = NewStream(4)
	JoblibArray(p, "O8", 4)
	q := NewStream(4)
	q.Array("numpy.core", 3)
	out = append(out, sample{"joblib-objects", append(append(p.Bytes(), q.Stop()...), '.')})
	slices.SortFunc(out, func(a, b sample) int { return strings.Compare(a.name, b.name) })
	return out
}

// NestedLists are lists, each within the one before.
func NestedLists(n int) []byte {
	return []byte("\x80\x02" + strings.Repeat("]", n) + strings.Repeat("a", n-1) + ".")
}

// shapes are what models and data are made of, in all protocols.
func shapes() map[string]func(p *Stream) {
	return map[string]func(p *Stream){
		"none":    func(p *Stream) { p.Op('N') },
		"numbers": func(p *Stream) { p.List(func() { p.Int(-3).Int(70000).Float(0.5).Int(0) }) },
		"config": func(p *Stream) {
			p.Dict(func() {
				p.Text("name").Text("os.system").Text("layers").List(func() { p.Int(64).Int(32) }).Text("eval").Float(1)
			})
		},
		"numpy-array":   func(p *Stream) { p.Array("numpy.core", 4) },
		"numpy-2-array": func(p *Stream) { p.Array("numpy._core", 4) },
		"numpy-scalar": func(p *Stream) {
			p.Global("numpy.core.multiarray", "scalar").Call(func() { p.Dtype("f8").Blob(make([]byte, 8)) })
		},
		"ufunc": func(p *Stream) {
			p.Global("numpy.core", "_ufunc_reconstruct").Call(func() { p.Text("numpy").Text("add") })
		},
		"state-dict": func(p *Stream) {
			p.Global("collections", "OrderedDict").Op(')', 'R', '(')
			for i := range 20 {
				p.Text(fmt.Sprintf("layer%d.weight", i)).Tensor(fmt.Sprint(i), 16)
			}
			p.Op('u').Build(func() { p.Dict(func() { p.Text("_metadata").Op('N') }) })
		},
		"torch-module": func(p *Stream) {
			p.Object("torch.nn.modules.linear", "Linear", func() {
				p.Text("training").Op('\x89').Text("_parameters").Dict(func() {
					p.Text("weight").Global("torch._utils", "_rebuild_parameter").Call(func() { p.Tensor("0", 4).Op('\x88').Global("collections", "OrderedDict").Op(')', 'R') })
				}).Text("in_features").Int(2)
			})
		},
		"optimizer": func(p *Stream) {
			p.Dict(func() {
				p.Text("state").Dict(func() { p.Int(0).Dict(func() { p.Text("exp_avg").Tensor("1", 4) }) }).
					Text("param_groups").List(func() { p.Dict(func() { p.Text("lr").Float(0.1).Text("dtype").Global("torch", "float32") }) })
			})
		},
		"sklearn-pipeline": func(p *Stream) {
			p.Object("sklearn.pipeline", "Pipeline", func() {
				p.Text("steps").List(func() {
					p.Tuple(func() {
						p.Text("scale").Object("sklearn.preprocessing._data", "StandardScaler", func() { p.Text("mean_").Array("numpy.core", 3) })
					})
					p.Tuple(func() {
						p.Text("model").Object("sklearn.linear_model._logistic", "LogisticRegression", func() { p.Text("coef_").Array("numpy.core", 3).Text("_sklearn_version").Text("1.5.0") })
					})
				})
			})
		},
		"sklearn-forest": func(p *Stream) {
			p.Object("sklearn.ensemble._forest", "RandomForestClassifier", func() {
				p.Text("estimators_").List(func() {
					p.Global("sklearn.tree._tree", "Tree").Call(func() { p.Int(3).Array("numpy.core", 1).Int(1) })
					p.Build(func() { p.Dict(func() { p.Text("max_depth").Int(3).Text("values").Array("numpy.core", 9) }) })
				})
			})
		},
		"scipy-sparse": func(p *Stream) {
			p.Object("scipy.sparse._csr", "csr_matrix", func() {
				p.Text("_shape").Tuple(func() { p.Int(2).Int(2) }).Text("data").Array("numpy.core", 2)
			})
		},
		"pandas-frame": func(p *Stream) {
			p.Object("pandas.core.frame", "DataFrame", func() {
				p.Text("_mgr").Global("pandas.core.internals.managers", "BlockManager").Call(func() { p.Array("numpy.core", 2) })
				p.Text("columns").Global("pandas.core.indexes.base", "_new_Index").Call(func() {
					p.Global("pandas.core.indexes.base", "Index").Dict(func() { p.Text("data").Array("numpy.core", 1).Text("name").Op('N') })
				})
			})
		},
		"xgboost": func(p *Stream) {
			p.Object("xgboost.sklearn", "XGBClassifier", func() {
				p.Text("_Booster").Object("xgboost.core", "Booster", func() { p.Text("handle").Global("builtins", "bytearray").Call(func() { p.Blob([]byte("model")) }) })
			})
		},
		"lightgbm": func(p *Stream) {
			p.Object("lightgbm.sklearn", "LGBMRegressor", func() {
				p.Text("_Booster").Object("lightgbm.basic", "Booster", func() { p.Text("handle").Text("tree\nversion=v4\n") })
			})
		},
		"standard-library": func(p *Stream) {
			p.Tuple(func() {
				p.Global("datetime", "datetime").Call(func() { p.Blob(make([]byte, 10)) })
				p.Global("decimal", "Decimal").Call(func() { p.Text("1.5") })
				p.Global("builtins", "set").Call(func() { p.List(func() { p.Int(1) }) })
				p.Global("__builtin__", "xrange").Call(func() { p.Int(0).Int(3).Int(1) })
				p.Global("builtins", "type").Call(func() { p.Op('N') })
				p.Global("collections", "defaultdict").Call(func() { p.Global("builtins", "list") })
				p.Global("functools", "partial").Call(func() { p.Global("torch.nn.functional", "relu") })
				p.Global("re", "_compile").Call(func() { p.Text("a+").Int(32) })
				p.Object("argparse", "Namespace", func() { p.Text("lr").Float(0.1) })
			})
		},
		"shared": func(p *Stream) {
			p.List(func() { p.Text("a").Raw("p0\n").Raw("g0\n").Raw("g0\n") })
		},
	}
}
