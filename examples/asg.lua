-- Three or five etcd nodes in an Auto Scaling group: the same file on every machine of it.
-- Each needs a role that allows ec2:DescribeInstances, autoscaling:DescribeAutoScalingGroups and
-- autoscaling:DescribeAutoScalingInstances (the last one not where metadata shows its tags).
return {
	discover = aws.asg(),                         -- this machine's own group; its desired size is the cluster's
	decide   = steady { evict_after = 600 },      -- seconds after EC2 calls a member's machine terminated
	output   = { ["/run/etcd.env"] = "env" },
	finish   = true,                              -- ExecStartPost=etcd-bootstrap finish THIS-FILE
	exec     = { "etcd" },
}
