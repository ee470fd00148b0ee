package catalog

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"sync"

	"go.yaml.in/yaml/v4"

	"assay"
)

//go:embed data/*.yaml
var embedded embed.FS

// Limits of a catalogue file. The embedded files together are a tenth of it.
const (
	maxFile  = 1 << 20 // bytes
	maxDepth = 16      // of lists and mappings within each other
	maxNodes = 1000    // fields of one mapping, entries of one list
)

// Default gives the embedded catalogue.
func Default() *Catalog {
	c, err := Open()
	if err != nil {
		panic(err) // the tests read it
	}
	return c
}

// Open gives the embedded catalogue with a user's files laid over it in their order.
// Goals, attackers and other entries with a new id are added. What a file says of an
// entry that there is replaces what was said, field by field, and the entry, or one
// around it, must say why. Lists of plain values are replaced whole.
func Open(paths ...string) (*Catalog, error) {
	root, err := base()
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return finish(root, nil)
	}
	merged := copyOf(root)
	var overrides []Override
	for _, name := range paths {
		data, err := read(name)
		if err != nil {
			return nil, err
		}
		layer, err := decode(data)
		if err != nil {
			return nil, fmt.Errorf("catalogue %s: %w", name, err)
		}
		m := merger{file: name}
		if err := m.merge(merged, layer); err != nil {
			return nil, fmt.Errorf("catalogue %s: %w", name, err)
		}
		overrides = append(overrides, m.overrides...)
		if _, err := finish(merged, nil); err != nil {
			return nil, fmt.Errorf("catalogue %s: %w", name, err)
		}
	}
	return finish(merged, overrides)
}

// base is the embedded catalogue as one YAML mapping. Its files only add to each other.
var base = sync.OnceValues(func() (*yaml.Node, error) {
	entries, err := embedded.ReadDir("data")
	if err != nil {
		return nil, err
	}
	root := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, e := range entries {
		data, err := embedded.ReadFile(path.Join("data", e.Name()))
		if err != nil {
			return nil, err
		}
		layer, err := decode(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		m := merger{file: e.Name()}
		if err := m.merge(root, layer); err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		if len(m.overrides) > 0 {
			return nil, fmt.Errorf("%s replaces %s", e.Name(), m.overrides[0].What)
		}
	}
	return root, nil
})

// finish makes a catalogue of a merged mapping, and checks it as a whole.
func finish(root *yaml.Node, overrides []Override) (*Catalog, error) {
	c := &Catalog{}
	if err := root.Load(c, yaml.WithKnownFields()); err != nil {
		return nil, err
	}
	c.Overrides = overrides
	c.sort()
	if err := c.validate(); err != nil {
		return nil, err
	}
	return c, nil
}

// sort puts what belongs to cells into the Act's order, whatever file it came from.
func (c *Catalog) sort() {
	cells := assay.Cells()
	slices.SortStableFunc(c.Vulnerabilities, func(a, b Vulnerability) int {
		return slices.Index(assay.Vulnerabilities(), a.ID) - slices.Index(assay.Vulnerabilities(), b.ID)
	})
	slices.SortStableFunc(c.Cells, func(a, b Cell) int { return slices.Index(cells, a.Cell) - slices.Index(cells, b.Cell) })
	slices.SortStableFunc(c.Goals, func(a, b Goal) int { return slices.Index(cells, a.Cell) - slices.Index(cells, b.Cell) })
}

// decode reads one file: a mapping of the format, strictly, with the place of what is wrong.
func decode(data []byte) (*yaml.Node, error) {
	var document yaml.Node
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("the file is empty: begin it with format: " + Format)
	}
	if err := yaml.Load(data, &document, yaml.WithUniqueKeys()); err != nil {
		return nil, err
	}
	root := &document
	if root.Kind == yaml.DocumentNode && len(root.Content) == 1 {
		root = root.Content[0]
	}
	if root.Kind != yaml.MappingNode {
		return nil, errors.New("the file holds no mapping, such as format: " + Format)
	}
	if err := plain(root, 0); err != nil {
		return nil, err
	}
	format := value(root, "format")
	if format == nil {
		return nil, errors.New("the file lacks its format: begin it with format: " + Format)
	}
	if format.Value != Format {
		return nil, fmt.Errorf("line %d: the format is %q: this version reads %s", format.Line, format.Value, Format)
	}
	// The names and types of fields are checked here, where lines are those of the file.
	if err := root.Load(&Catalog{}, yaml.WithKnownFields()); err != nil {
		return nil, err
	}
	return root, nil
}

// plain refuses what a catalogue has no use for: aliases, which make a small file large,
// and depth and length without end.
func plain(n *yaml.Node, depth int) error {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return fmt.Errorf("line %d: write out what is repeated: anchors and aliases are not read", n.Line)
	}
	if depth > maxDepth {
		return fmt.Errorf("line %d: lists and mappings are more than %d deep", n.Line, maxDepth)
	}
	if len(n.Content) > 2*maxNodes {
		return fmt.Errorf("line %d: a list or mapping has more than %d entries", n.Line, maxNodes)
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!merge" {
		return fmt.Errorf("line %d: write out what is repeated: merge keys are not read", n.Line)
	}
	for _, child := range n.Content {
		if err := plain(child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func read(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("the catalogue %s is larger than %d MB", name, maxFile>>20)
	}
	return data, nil
}

// value gives the value of a key, nil without one.
func value(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

func copyOf(n *yaml.Node) *yaml.Node {
	c := *n
	c.Content = make([]*yaml.Node, len(n.Content))
	for i, child := range n.Content {
		c.Content[i] = copyOf(child)
	}
	return &c
}
