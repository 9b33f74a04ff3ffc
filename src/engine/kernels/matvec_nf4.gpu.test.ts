import { cases } from './matvec_nf4.cases.ts';
import { testKernel } from './testing/suite.ts';

testKernel('matvec_nf4', cases);
