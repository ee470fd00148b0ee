package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	link = regexp.MustCompile(`\]\(([^)#\s]+)[^)]*\)`)
	// A path in backquotes is from the repository's root, and begins with one of its folders.
	path  = regexp.MustCompile("`((?:onnx|internal|cmd|examples|docs|\\.ci)(?:/[\\w.-]+)*)/?`")
	block = regexp.MustCompile("(?s)```.*?```")
)

// TestPaths fails for a link within the repository, or a path in backquotes, that leads nowhere.
func TestPaths(t *testing.T) {
	pages := []string{}
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(name, ".md") {
			pages = append(pages, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		text = block.ReplaceAll(text, nil)
		exists := func(said, file string) {
			found++
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s points at %s, which is not there", page, said)
			}
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains(m[1], "://") {
				exists(m[1], filepath.Join(filepath.Dir(page), m[1]))
			}
		}
		for _, m := range path.FindAllStringSubmatch(string(text), -1) {
			exists(m[1], filepath.Join("..", m[1]))
		}
	}
	if found < 50 {
		t.Errorf("only %d links and paths were found in %d pages", found, len(pages))
	}
}
