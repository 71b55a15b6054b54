"""A Ray cluster of three nodes on this machine, in a process of its own.

`python ray_nodes.py` prints the address. A line on standard input removes the node with
the resource `spot` and adds another one; at its end the cluster ends.
"""

import sys

from ray.cluster_utils import Cluster

cluster = Cluster(
    initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
)
cluster.add_node(num_cpus=1)
spot = cluster.add_node(num_cpus=2, num_gpus=2, resources={"spot": 1})
print(cluster.address, flush=True)
for _ in sys.stdin:
    cluster.remove_node(spot, allow_graceful=False)
    spot = cluster.add_node(num_cpus=2, num_gpus=2, resources={"spot": 1})
cluster.shutdown()
