package system

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRecipe gives a model recipes, and tells what is then to be said.
func TestRecipe(t *testing.T) {
	path := filepath.Join(folder(t), FileName)
	for _, c := range []struct{ recipe, want string }{
		{"{data: trained}", ""},
		{"{data: trained, arch: cnn, widths: [8, 8], epochs: 3, batch: 16, rate: 0.01, decay: 0, shadows: 64}", ""},
		{"{arch: mlp}", "models[1].recipe.data: is missing"},
		{"{data: train}", `models[1].recipe.data: "train" is no dataset of this file: did you mean trained?`},
		{"{data: test}", `models[1].recipe.data: "test" are test data: name those that the model was trained on`},
		{"{data: trained, arch: logistic, widths: [8]}", "models[1].recipe.widths: are those of layers, and logistic has none"},
		{"{data: trained, shadows: 5}", "models[1].recipe.shadows: is 5, and shadow models come in pairs"},
		{"{data: trained, shadows: 2}", "models[1].recipe.shadows: is 2"},
		{"{data: trained, arch: forest}", "models[1].recipe.arch"},
	} {
		text := strings.Replace(small, "file: b.onnx", "file: b.onnx, recipe: "+c.recipe, 1)
		text = strings.Replace(text, "solutions:", "  - {name: trained, file: e.csv, role: training}\nsolutions:", 1)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s\ngives %v\nwant  %s", c.recipe, err, c.want)
		}
	}
}
