// Command checker verifies a log over HTTP with the code of Go's checksum database (golang.org/x/mod/sumdb).
//
//	checker PREFIX VERIFIER-KEY
//
// It reads the checkpoint, every tile that the tree needs and every entry below PREFIX (c2sp.org/tlog-tiles), and prints
// size and root. Hashes are believed only through tlog.TileHashReader, which checks each tile against the signed root.
package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	height = 8
	width  = 1 << height
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: checker PREFIX VERIFIER-KEY")
		os.Exit(2)
	}
	if err := check(strings.TrimRight(os.Args[1], "/"), os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(prefix, key string) error {
	tree, err := checkpoint(prefix, key)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	hashes := tlog.TileHashReader(tree, &tiles{prefix: prefix, known: map[string][]byte{}})
	for first := int64(0); first < tree.N; first += width {
		if err := bundle(prefix, tree, hashes, first); err != nil {
			return err
		}
	}
	if err := proofs(tree, hashes); err != nil {
		return err
	}
	fmt.Println(tree.N, base64.StdEncoding.EncodeToString(tree.Hash[:]))
	return nil
}

// checkpoint returns the tree that the log signed.
func checkpoint(prefix, key string) (tree tlog.Tree, err error) {
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return tree, err
	}
	data, err := get(prefix + "/checkpoint")
	if err != nil {
		return tree, err
	}
	opened, err := note.Open(data, note.VerifierList(verifier))
	if err != nil {
		return tree, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() || lines[3] != "" {
		return tree, errors.New("expected origin, size and root")
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return tree, err
	}
	tree.Hash, err = tlog.ParseHash(lines[2])
	return tree, err
}

// bundle checks that up to 256 entries from first on hash to the leaves of the tree.
func bundle(prefix string, tree tlog.Tree, hashes tlog.HashReader, first int64) error {
	count := tree.N - first
	if count > width {
		count = width
	}
	name := path(tlog.Tile{H: height, L: -1, N: first / width, W: int(count)})
	data, err := get(prefix + "/" + name)
	if err != nil {
		return err
	}
	indexes := make([]int64, count)
	for i := range indexes {
		indexes[i] = tlog.StoredHashIndex(0, first+int64(i))
	}
	leaves, err := hashes.ReadHashes(indexes)
	if err != nil {
		return err
	}
	for i, leaf := range leaves {
		if len(data) < 2 || len(data) < 2+(int(data[0])<<8|int(data[1])) {
			return fmt.Errorf("%s: cut off in entry %d", name, i)
		}
		end := 2 + (int(data[0])<<8 | int(data[1]))
		if tlog.RecordHash(data[2:end]) != leaf {
			return fmt.Errorf("%s: leaf %d: the entry does not hash to the leaf", name, first+int64(i))
		}
		data = data[end:]
	}
	if len(data) != 0 {
		return fmt.Errorf("%s: %d bytes more than %d entries", name, len(data), count)
	}
	return nil
}

// proofs makes and checks proofs from the tiles, at the borders where they go wrong if they do.
func proofs(tree tlog.Tree, hashes tlog.HashReader) error {
	for _, n := range []int64{1, 2, 255, 256, 257, 511, 65535, 65536, 65537, tree.N - 1, tree.N} {
		if n < 1 || n > tree.N {
			continue
		}
		root, err := tlog.TreeHash(n, hashes)
		if err != nil {
			return err
		}
		grown, err := tlog.ProveTree(tree.N, n, hashes)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(grown, tree.N, tree.Hash, n, root); err != nil {
			return fmt.Errorf("consistency of %d: %w", n, err)
		}
		inside, err := tlog.ProveRecord(tree.N, n-1, hashes)
		if err != nil {
			return err
		}
		leaf, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, n-1)})
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(inside, tree.N, tree.Hash, n-1, leaf[0]); err != nil {
			return fmt.Errorf("inclusion of %d: %w", n-1, err)
		}
	}
	return nil
}

// tiles reads tiles over HTTP and keeps those that TileHashReader found to be right.
type tiles struct {
	prefix string
	known  map[string][]byte
}

func (t *tiles) Height() int { return height }

func (t *tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	found := make([][]byte, len(wanted))
	for i, tile := range wanted {
		name := path(tile)
		data, ok := t.known[name]
		if !ok {
			var err error
			if data, err = get(t.prefix + "/" + name); err != nil {
				return nil, err
			}
		}
		found[i] = data
	}
	return found, nil
}

func (t *tiles) SaveTiles(checked []tlog.Tile, data [][]byte) {
	for i, tile := range checked {
		t.known[path(tile)] = data[i]
	}
}

// path names a tile as c2sp.org/tlog-tiles does: without the height, and entries where Go says data.
func path(tile tlog.Tile) string {
	name := strings.TrimPrefix(tile.Path(), "tile/8/")
	return "tile/" + strings.Replace(name, "data/", "entries/", 1)
}

func get(url string) ([]byte, error) {
	answer, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, answer.Status)
	}
	return io.ReadAll(answer.Body)
}
