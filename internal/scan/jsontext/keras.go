package jsontext

import (
	"encoding/json"
	"fmt"
	"strings"

	"assay/internal/scan"
)

// layer is what an object says of itself in the way of Keras
// (keras/src/saving/serialization_lib.py).
type layer struct {
	class, module, registered string
	hasClass, hasConfig       bool
	name                      string // the config, where it is a text: a function's name
	vocabulary                string // where it is a text: the path of a file
}

// member reads a member that says what a layer is; one of another type is read as any other.
func (j *judge) member(l *layer, name string) error {
	if name == "class_name" {
		l.hasClass = true
	}
	l.hasConfig = l.hasConfig || name == "config"
	t, err := j.in.Token()
	if err != nil {
		return err
	}
	if d, ok := t.(json.Delim); ok {
		return j.rest(d, name)
	}
	s, ok := t.(string)
	if !ok {
		return nil
	}
	j.text(name, s)
	switch name {
	case "class_name":
		l.class = s
	case "module":
		l.module = s
	case "registered_name":
		l.registered = s
	case "config":
		l.name = s
	case "vocabulary":
		l.vocabulary = s
	}
	return nil
}

// rest reads an array or object whose opening was read.
func (j *judge) rest(d json.Delim, key string) error {
	if j.depth++; j.depth > maxDepth {
		return errDepth
	}
	if d == '{' {
		if err := j.object(key); err != nil {
			return err
		}
	} else {
		for j.in.More() {
			if err := j.value(key); err != nil {
				return err
			}
		}
	}
	j.depth--
	_, err := j.in.Token()
	return err
}

// modules are those of Keras from which a layer may come. Others, keras.utils and
// keras.config among them, have functions that fetch files or switch off its own checks
// (CVE-2025-1550, CVE-2025-8747, CVE-2025-9906).
var modules = []string{"layers", "models", "initializers", "regularizers", "constraints", "optimizers", "losses", "metrics", "activations", "dtype_policies", "mixed_precision", "engine", "quantizers", "random"}

func own(module string) bool {
	for _, root := range []string{"keras.", "keras.src.", "tensorflow.keras.", "tf_keras.", "tf_keras.src."} {
		if rest, ok := strings.CutPrefix(module, root); ok {
			first, _, _ := strings.Cut(rest, ".")
			for _, m := range modules {
				if first == m {
					return true
				}
			}
		}
	}
	return false
}

// layer judges an object that says of itself what class it is.
func (j *judge) layer(l layer) {
	const remedy = "Do not load it; build the model in code that was reviewed and load its weights only."
	if l.vocabulary != "" {
		j.tell("keras-file", scan.High, l.class, fmt.Sprintf("A layer takes its vocabulary from %q: loading the model reads that file, or fetches it.", l.vocabulary), remedy)
	}
	if !l.hasClass || !l.hasConfig {
		return
	}
	_, custom, registered := strings.Cut(l.registered, ">")
	switch class := l.class[strings.LastIndexAny(l.class, ">.")+1:]; {
	case class == "Lambda" || class == "__lambda__":
		j.tell("keras-lambda", scan.Critical, l.class, "It has a Lambda layer, which is Python code in the file: loading or running the model runs it.", remedy)
	case l.module == "builtins" && (class == "dict" || class == "slice" || class == "__tuple__"):
	case l.module == "builtins" && class == "function":
		j.tell("keras-custom", scan.Unknown, l.name, fmt.Sprintf("A layer calls the function %q, which the program that loads the model must bring.", l.name), remedy)
	case l.module == "keras" && (class == "Functional" || class == "Sequential" || class == "Model" || class == "DTypePolicy" || class == "Variable"):
	case l.module != "" && !own(l.module):
		j.tell("keras-module", scan.High, l.module+"."+class, fmt.Sprintf("An object is made by %s of the Python module %q, which is no module of layers: loading the model imports and calls it.", class, l.module), remedy)
	case registered && custom != "" && !strings.HasPrefix(l.registered, "keras"), strings.Contains(l.class, ">") && !strings.HasPrefix(l.class, "keras"), class == "TFOpLambda" || class == "SlicingOpLambda":
		j.tell("keras-custom", scan.Unknown, l.class, fmt.Sprintf("A layer is of the class %q, which is not Keras's own.", l.class), remedy)
	}
}
