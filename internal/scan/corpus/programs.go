package corpus

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"assay/internal/scan"
)

// Executables gives the beginnings of programs, none of which would run.
func Executables() []Case {
	rest := strings.Repeat("\x00", 200)
	pe := changed(changed([]byte("MZ"+rest), 60, "\x80\x00\x00\x00"), 128, "PE\x00\x00")
	var out []Case
	for name, data := range map[string][]byte{
		"ELF": []byte("\x7fELF\x02\x01\x01" + rest), "PE": pe, "Mach-O": []byte("\xcf\xfa\xed\xfe\x07\x00\x00\x01" + rest), "Mach-O of two": []byte("\xca\xfe\xba\xbe\x00\x00\x00\x02" + rest),
		"APE": []byte("MZqFpD='\n" + rest), "Java": []byte("\xca\xfe\xba\xbe\x00\x00\x00\x37" + rest), "WebAssembly": []byte("\x00asm\x01\x00\x00\x00" + rest), "LLVM": []byte("BC\xc0\xde" + rest),
		"DEX": []byte("dex\n035\x00" + rest), "compiled Python": []byte("\xa7\x0d\r\n\x00\x00\x00\x00" + rest), "compiled Lua": []byte("\x1bLuaS" + rest),
	} {
		out = append(out, Case{"executable/" + name, data, scan.Found, "executable-program", false})
	}
	slices.SortFunc(out, func(a, b Case) int { return strings.Compare(a.Name, b.Name) })
	model := gguf{}.text("general.architecture", "llama").tensor("w", 0, 0, 8).bytes(32)
	return append(out,
		Case{"executable/llamafile", slices.Concat([]byte("MZqFpD='\n"+rest), PackZip(Member{Name: "model.gguf", Data: model})), scan.Found, "executable-program", true},
		Case{"executable/in zip", PackZip(Member{Name: "lib/op.so", Data: []byte("\x7fELF\x02\x01\x01" + rest), Method: 8}), scan.Found, "executable-program", true},
		Case{"executable/DOS letters only", []byte("MZ" + rest), scan.Undecided, "", true},
	)
}

// YAML gives configurations and cards of models.
func YAML() []Case {
	var out []Case
	for i, s := range []string{
		"license: mit\n", "---\nlicense: apache-2.0\ntags:\n- text\n---\n# A model\n\nUse it like this: it is nice!\n", "# comment\nmodel:\n  type: resnet\n  layers: [1, 2, 3]\n", "a: !!float 1\nb: !!str x\n",
		"optimizer:\n  _target_: torch.optim.AdamW\n  lr: 0.1\n", "model:\n  _target_: nemo.collections.asr.models.EncDecCTCModel\n", "trust_remote_code: false\n", "note: \"hello, world!python is fun\"\n",
	} {
		out = append(out, Case{fmt.Sprintf("yaml/harmless %d", i), []byte(s), scan.Clean, "", false})
	}
	for i, s := range []struct{ rule, text string }{
		{"yaml-tag", "a: !!python/object/apply:print [hi]\n"}, {"yaml-tag", "!!python/object/new:tuple\n- x\n"}, {"yaml-tag", "a: !!python/name:os.system\n"}, {"yaml-tag", "a: !<tag:yaml.org,2002:python/object/apply:print> [hi]\n"},
		{"yaml-tag", "a: !!pyth%6fn/object/apply:print [hi]\n"}, {"yaml-tag", "a: [1, !!python/module:os , 2]\n"}, {"yaml-tag", "a: !ruby/object:Gem::Installer\n"}, {"yaml-tag", "a: !!js/function 'function(){}'\n"}, {"yaml-tag", "a: !!javax.script.ScriptEngineManager []\n"},
		{"yaml-target", "a:\n  _target_: os.system\n  command: id\n"}, {"yaml-target", "a: {_target_: builtins.exec, x: print(1)}\n"}, {"yaml-target", "model:\n  class_path: subprocess.Popen\n"}, {"yaml-target", "a:\n  \"_target_\": \"torch.load\"\n"},
		{"yaml-code", "trust_remote_code: true\n"}, {"yaml-code", "auto_map:\n  AutoModel: modeling.M\n"}, {"yaml-secret", "key: AKIA" + strings.Repeat("WXYZ", 4) + "\n"},
	} {
		out = append(out, Case{fmt.Sprintf("yaml/harmful %d", i), []byte(s.text), scan.Found, s.rule, false})
	}
	return append(out,
		Case{"yaml/tag renamed", []byte("%TAG !x! tag:yaml.org,2002:pyth\n---\na: !x!on/object/apply:print [hi]\n"), scan.Undecided, "yaml-tag", false},
		Case{"yaml/target", []byte("a:\n  _target_: mine.Model\n"), scan.Undecided, "yaml-target", false},
		Case{"yaml/no text", []byte("a: b\n\x01\x02"), scan.Undecided, "yaml-unread", false},
	)
}

// Skops gives descriptions of estimators as skops writes them.
func Skops() []Case {
	node := func(module, class, loader string) []byte {
		return fmt.Appendf(nil, `{"__class__":%q,"__module__":%q,"__loader__":%q,"content":{"__class__":"dict","__module__":"builtins","__loader__":"DictNode","content":{}},"protocol":2}`, class, module, loader)
	}
	var out []Case
	add := func(want scan.Status, rule, module, class, loader string) {
		out = append(out, Case{"skops/" + module + "." + class, node(module, class, loader), want, rule, false})
	}
	add(scan.Clean, "", "sklearn.linear_model._logistic", "LogisticRegression", "ObjectNode")
	add(scan.Clean, "", "numpy", "ndarray", "NdArrayNode")
	add(scan.Clean, "", "builtins", "list", "ListNode")
	add(scan.Clean, "", "collections", "OrderedDict", "DictNode")
	add(scan.Found, "skops-type", "operator", "methodcaller", "OperatorFuncNode")
	add(scan.Found, "skops-type", "builtins", "exec", "MethodNode")
	add(scan.Found, "skops-type", "os", "system", "FunctionNode")
	add(scan.Found, "skops-type", "builtins", "eval", "TypeNode")
	add(scan.Undecided, "skops-type", "mine", "Estimator", "ObjectNode")
	add(scan.Undecided, "skops-type", "numpy.f2py", "crackfortran", "FunctionNode")
	return append(out, Case{"skops/archive", PackZip(Member{Name: "schema.json", Data: node("os", "system", "FunctionNode")}), scan.Found, "skops-type", true},
		Case{"torchserve/handler", []byte(`{"createdOn":"1/1/2025","model":{"modelName":"m","handler":"handler.py:handle","serializedFile":"m.pt"}}`), scan.Found, "config-code", false},
		Case{"torchserve/own handler", []byte(`{"model":{"modelName":"m","handler":"image_classifier"}}`), scan.Clean, "", false})
}

// CatBoost gives models of CatBoost's.
func CatBoost() []Case {
	core := catboost("FlabuffersModel_v1", "loss", "RMSE")
	whole := func(parts ...[]byte) []byte { return append([]byte("CBM1"), slices.Concat(parts...)...) }
	sized := func(b []byte) []byte { return append(binary.LittleEndian.AppendUint32(nil, uint32(len(b))), b...) }
	one := whole(sized(core))
	return []Case{
		{"catboost/model", one, scan.Clean, "", false},
		{"catboost/wide length", whole(binary.LittleEndian.AppendUint64([]byte("\xff\xff\xff\xff"), uint64(len(core))), core), scan.Clean, "", false},
		{"catboost/in zip", PackZip(Member{Name: "m.cbm", Data: one, Method: 8}), scan.Clean, "", true},
		{"catboost/json", []byte(`{"features_info":{"float_features":[{"borders":[0.5],"feature_index":0}]},"oblivious_trees":[{"leaf_values":[0.1,0.2],"splits":[{"border":0.5}]}],"scale_and_bias":[1,[0]]}`), scan.Clean, "", true},
		{"catboost/length", changed(one, 4, "\xff\xff\xff\x7f"), scan.Found, "catboost-structure", false},
		{"catboost/root outside", changed(one, 8, "\xff\xff\xff\x7f"), scan.Found, "catboost-structure", false},
		{"catboost/cut short", one[:len(one)-4], scan.Found, "catboost-structure", false},
		{"catboost/cut within a length", one[:6], scan.Found, "catboost-structure", false},
		{"catboost/secret", whole(sized(catboost("FlabuffersModel_v1", "token", "ghp_"+strings.Repeat("aB3d", 9)))), scan.Found, "catboost-secret", false},
		{"catboost/person", whole(sized(catboost("FlabuffersModel_v1", "train_dir", "/home/jdoe/catboost_info/run"))), scan.Found, "catboost-personal", false},
		{"catboost/pickle after", append(slices.Clone(one), Pickle()...), scan.Found, "", true},
		{"catboost/version", whole(sized(catboost("AnotherModel_v9", "loss", "RMSE"))), scan.Undecided, "catboost-part", false},
		{"xgboost/binary", append([]byte("binf"), xgboostBinary()...), scan.Undecided, "xgboost-binary", true},
		{"xgboost/binary without a mark", xgboostBinary(), scan.Undecided, "xgboost-binary", true},
	}
}

func xgboostBinary() []byte {
	name := []byte("reg:squarederror")
	return slices.Concat(make([]byte, 136), binary.LittleEndian.AppendUint64(nil, uint64(len(name))), name, make([]byte, 64))
}

// catboost is the core of a model: its version, no trees, and one pair of texts.
func catboost(version, key, value string) []byte {
	le := binary.LittleEndian
	text := func(s string) []byte {
		b := append(le.AppendUint32(nil, uint32(len(s))), s...)
		for len(b)%4 != 0 || len(b) == 4+len(s) {
			b = append(b, 0)
		}
		return b
	}
	u32 := func(values ...int) []byte {
		var b []byte
		for _, v := range values {
			b = le.AppendUint32(b, uint32(int32(v)))
		}
		return b
	}
	u16 := func(values ...int) []byte {
		var b []byte
		for _, v := range values {
			b = le.AppendUint16(b, uint16(v))
		}
		return b
	}
	v, k := text(version), text(key)
	// Offsets: 0 root, 4 the fields of the core, 16 the core, 28 the list of pairs, 36 the
	// fields of a pair, 44 the pair, 56 the texts.
	const core, list, pair, texts = 16, 28, 44, 56
	return slices.Concat(u32(core), u16(10, 12, 4, 0, 8, 0), u32(core-4, texts-core-4, list-core-8), u32(1, pair-list-4), u16(8, 12, 4, 8), u32(pair-36, texts+len(v)-pair-4, texts+len(v)+len(k)-pair-8), v, k, text(value))
}
